import pytest

from kseg.pipelines.manifest import Shard
from kseg.pipelines.run_settings import RunSettings


def test_a_run_is_whole_and_goes_on_unless_it_is_told_otherwise():
    run = RunSettings()
    assert (run.shard, run.resume, run.retry_failed, run.relist) == (Shard(1, 1), True, False, False)


def test_numbers_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"^workers: expected 1 or more, received 0$"):
        RunSettings(workers=0)
    for timeout, said in ((0.0, "0"), (-1.0, "-1"), (float("nan"), "nan")):
        with pytest.raises(ValueError, match=rf"^timeout: expected more than 0 seconds, received {said}$"):
            RunSettings(timeout=timeout)
