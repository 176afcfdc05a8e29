from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding
from kseg.transforms.ismrmrd_sort import REVERSED, sort_readouts

N_Y, N_X = 8, 6
ENCODING = Encoding((N_Y, N_X, 1), (8.0, 6.0, 4.0), 3)


def readout(samples: np.ndarray, line: int, slice_: int = 0, partition: int = 0) -> np.ndarray:
    made = np.zeros(1, ismrmrd.hdf5.acquisition_dtype)
    head = made["head"]
    head["active_channels"], head["number_of_samples"] = samples.shape
    head["center_sample"] = samples.shape[1] // 2
    head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = line, slice_
    head["idx"]["kspace_encode_step_2"] = partition
    made["data"][0] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
    return made


def sort(*readouts: np.ndarray, encoding: Encoding = ENCODING, slices: tuple[int, ...] = (0,)):
    return sort_readouts(Path("x.h5"), "read", np.concatenate(readouts), encoding, np.array(slices))


@pytest.fixture
def kspace() -> np.ndarray:
    generator = np.random.default_rng(0)
    parts = generator.standard_normal((2, 2, 3, N_Y, N_X))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def test_lines_and_slices_find_their_place(kspace):
    lines = [readout(kspace[s, :, :, line], line, s + 4) for s in (1, 0) for line in (4, 0, 3)]
    found, sampled = sort(*lines, slices=(4, 5))
    np.testing.assert_array_equal(found[..., [0, 3, 4]], kspace[..., [0, 3, 4]])
    np.testing.assert_array_equal(sampled, np.broadcast_to([1, 0, 0, 1, 1, 0], (2, N_Y, N_X)))
    assert not found[..., [1, 2, 5]].any()


def test_averages_are_averaged_where_each_was_acquired(kspace):
    short = readout(kspace[1, :, :, 3], 3)
    short["head"]["discard_pre"] = 5
    found, sampled = sort(readout(kspace[0, :, :, 3], 3), short)
    np.testing.assert_array_equal(found[0, :, :5, 3], kspace[0, :, :5, 3])
    np.testing.assert_allclose(found[0, :, 5:, 3], kspace[:, :, 5:, 3].mean(0), rtol=1e-6)
    assert sampled[0, :, 3].all()


def test_a_readout_sampled_backwards_is_turned_about_its_centre(kspace):
    # Forwards, k runs from -4 to 3 and k = 0 is sample 4; backwards, it runs from 4 to -3.
    wide = np.concatenate([kspace[0, :, :, 3], np.full((3, 1), 99)], axis=1)
    turned = readout(wide[:, :0:-1], 3)
    turned["head"]["center_sample"] = 4
    turned["head"]["flags"] = REVERSED
    found, sampled = sort(turned)
    np.testing.assert_array_equal(found[0, :, 1:, 3], kspace[0, :, 1:, 3])
    assert sampled[0, :, 3].tolist() == [False] + [True] * 7
    # What is discarded first is the end of the line.
    turned["head"]["discard_pre"] = 3
    assert sort(turned)[1][0, :, 3].tolist() == [False] + [True] * 5 + [False] * 2


def test_partitions_are_centred_like_lines(kspace):
    slab = Encoding((N_Y, N_X, 4), (8.0, 6.0, 16.0), 3, centre_partition=1)
    found, sampled = sort(
        *(readout(kspace[p, :, :, line], line, partition=p) for p in range(2) for line in range(N_X)),
        encoding=slab,
    )
    assert found.shape == (4, 3, N_Y, N_X)
    np.testing.assert_array_equal(found[1:3], kspace)
    assert sampled.flatten(1).any(1).tolist() == [False, True, True, False]


def refused(message: str, *readouts: np.ndarray, encoding: Encoding = ENCODING) -> None:
    with pytest.raises(InputError, match=rf"^x\.h5: read: expected {message}$"):
        sort(*readouts, encoding=encoding)


def test_readouts_that_fit_nothing_are_refused(kspace):
    good = readout(kspace[0, :, :, 0], 0)
    refused(r"as many coils in every readout, received \[2, 3\]", good, readout(kspace[0, :2, :, 1], 1))
    refused(r"as many coils in every readout, received \[0\]", readout(np.zeros((0, 8)), 1))
    lying = readout(kspace[0, :, :, 0], 0)
    lying["head"]["number_of_samples"] = 9
    refused("54 numbers in a readout, received 48", good, lying)
    inside = r"readouts inside \(y, x\) = \(8, 6\), received"
    refused(f"{inside} samples 0 to 8 of line 6", good, readout(kspace[0, :, :, 0], 6))
    off = readout(kspace[0, :, :, 0], 0)
    off["head"]["center_sample"] = 3
    refused(f"{inside} samples 1 to 9 of line 0", off)
    nothing = readout(kspace[0, :, :, 0], 0)
    nothing["head"]["discard_pre"] = 8
    refused(f"{inside} samples 8 to 8 of line 0", nothing)
    slab = Encoding((N_Y, N_X, 4), (8.0, 6.0, 16.0), 3, centre_partition=2)
    refused(
        f"{inside} samples 0 to 8 of line 0, partition 4",
        readout(kspace[0, :, :, 0], 0, partition=4),
        encoding=slab,
    )


def test_samples_that_are_not_finite_are_refused(kspace):
    for value in (np.nan, np.inf):
        kspace[0, 1, 2, 3] = value
        both = [readout(kspace[0, :, :, 3], 3), readout(-kspace[0, :, :, 3], 3)]
        refused("finite k-space, received 1 NaN or infinite of 144", *both)


def test_a_matrix_that_readouts_hardly_fill_is_refused(kspace):
    huge = Encoding((60000, 60000, 1), (8.0, 6.0, 4.0), 3)
    message = r"readouts for at least 1 % of 1 planes \(y, x\) = \(60000, 60000\), received 8 samples"
    refused(message, readout(kspace[0, :, :, 0], 0), encoding=huge)
