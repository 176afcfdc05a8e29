"""The file on which a run fails is named: when it cannot be read, and when the network does not take it."""

from collections.abc import Callable, Iterator

import pytest
from ignite.engine import Engine

from kseg.pipelines.failed_file import NameFailedFile
from kseg.transforms.errors import InputError

Batch = dict[str, dict[str, list[str]]]


def batch(name: str) -> Batch:
    return {"image_meta_dict": {"filename_or_obj": [name]}}


def run(batches: Iterator[Batch], step: Callable[[Engine, Batch], None]) -> None:
    engine = Engine(step)
    NameFailedFile().attach(engine)
    engine.run(batches, max_epochs=1, epoch_length=2)


def test_a_run_without_errors_is_left_alone() -> None:
    seen: list[Batch] = []
    run(iter([batch("a"), batch("b")]), lambda _engine, data: seen.append(data))
    assert seen == [batch("a"), batch("b")]


def test_unreadable_file_is_named_not_the_one_before() -> None:
    def batches() -> Iterator[Batch]:
        yield batch("a")
        try:
            raise InputError("b", "read k-space", "an HDF5 file", "a picture")
        except InputError as error:
            raise RuntimeError("applying transform <LoadKSpaced object>") from error

    with pytest.raises(InputError, match=r"^b: read k-space: expected an HDF5 file, received a picture$"):
        run(batches(), lambda _engine, _batch: None)


def test_file_that_the_network_does_not_take_is_named() -> None:
    def step(_engine: Engine, data: Batch) -> None:
        if data == batch("b"):
            raise ValueError("expected 1 coil, received 8")

    expected = r"^b: segment: expected a volume that the network takes, received expected 1 coil, received 8$"
    with pytest.raises(InputError, match=expected) as caught:
        run(iter([batch("a"), batch("b")]), step)
    assert isinstance(caught.value.__cause__, ValueError)


def test_error_without_words_is_told_by_its_kind() -> None:
    def step(_engine: Engine, _batch: Batch) -> None:
        raise MemoryError

    with pytest.raises(InputError, match=r"^a: segment: .* received MemoryError$"):
        run(iter([batch("a")]), step)


def test_errors_between_files_and_interrupts_stay_what_they_are() -> None:
    def batches() -> Iterator[Batch]:
        yield batch("a")
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        run(batches(), lambda _engine, _batch: None)

    def step(_engine: Engine, _batch: Batch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(iter([batch("a")]), step)
