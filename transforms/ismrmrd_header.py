"""The part of an ISMRMRD header that places k-space samples on a grid.

Only the geometry of the first encoding is read and written; subject and study information is never touched.
In this tree readout runs along y and phase encoding along x, as in fastMRI; the header calls them x and y.
"""

import math
import os
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from enum import Enum
from xml.parsers.expat import ErrorString

import numpy as np
import numpy.typing as npt

from kseg.transforms.errors import InputError

# The package resets the process's warning filters when it is imported.
with warnings.catch_warnings():
    from ismrmrd import xsd

LARGEST = 65535
NAMESPACE = {"m": "http://www.ismrm.org/ISMRMRD"}


@dataclass(frozen=True)
class Encoding:
    """Extent of the acquired k-space.

    Attributes:
        matrix: samples along (readout, phase encoding, slice encoding); the last is 1 for a stack of slices.
        fov_mm: field of view along the same directions; the last is the slice thickness of a stack of slices.
        centre_line: index of the phase-encoding line at the centre of k-space.
        trajectory: `cartesian`, `radial`, ...; `other` for what the ISMRMRD schema does not know.
        recon_fov_mm: field of view that is to be shown, of which the readout and the slice encoding may have been
            given more (oversampling); None if the header does not say.
        centre_partition: index of the slice-encoding step at the centre of k-space.
        calibration: how lines for the calibration of coils were acquired: `embedded`, `separate`, ...; `none`;
            `other` for what the ISMRMRD schema does not know.
    """

    matrix: tuple[int, int, int]
    fov_mm: tuple[float, float, float]
    centre_line: int
    trajectory: str = "cartesian"
    recon_fov_mm: tuple[float, float, float] | None = None
    centre_partition: int = 0
    calibration: str = "none"

    def without_oversampling(self) -> "Encoding":
        """The same voxels within the field of view that is to be shown, along readout and slice encoding.

        Phase encoding keeps its extent: lines that were left out cannot be cut.

        Example:
            >>> whole = Encoding((640, 368, 1), (280.0, 161.0, 4.5), 184, recon_fov_mm=(140.0, 140.0, 4.5))
            >>> whole.without_oversampling()
            Encoding(matrix=(320, 368, 1), fov_mm=(140.0, 161.0, 4.5), centre_line=184, trajectory='cartesian', ...)
        """
        if self.recon_fov_mm is None:
            return self
        matrix, fov = list(self.matrix), list(self.fov_mm)
        for axis in (0, 2):
            n = round(self.matrix[axis] * self.recon_fov_mm[axis] / self.fov_mm[axis])
            if 1 <= n < self.matrix[axis]:
                matrix[axis], fov[axis] = n, self.fov_mm[axis] * n / self.matrix[axis]
        return replace(
            self, matrix=(matrix[0], matrix[1], matrix[2]), fov_mm=(fov[0], fov[1], fov[2]), recon_fov_mm=None
        )

    def affine(self, n_slices: int) -> npt.NDArray[np.float64]:
        """Affine of a stack of slices, (x, y, slice) indices to millimetres.

        The header tells sizes but no directions: axes are taken as right, anterior, superior and the middle
        voxel as the origin.

        Args:
            n_slices: length of the stack.

        Example:
            >>> Encoding((640, 320, 1), (320.0, 160.0, 4.5), 160).affine(15)
            array([[   0.5,    0. ,    0. ,  -80. ],
                   [   0. ,    0.5,    0. , -160. ],
                   [   0. ,    0. ,    4.5,  -31.5],
                   [   0. ,    0. ,    0. ,    1. ]])
        """
        readout, phase, slice_ = (fov / n for fov, n in zip(self.fov_mm, self.matrix, strict=True))
        spacing = np.array([phase, readout, slice_])
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -spacing * (np.array([self.matrix[1], self.matrix[0], n_slices]) // 2)
        return affine


def header_xml(shape: tuple[int, int, int, int], spacing_mm: tuple[float, float, float]) -> str:
    """Header of a fully encoded Cartesian stack of slices, as fastMRI's and ISMRMRD's readers expect it.

    Args:
        shape: of the k-space (slice, coil, y, x).
        spacing_mm: voxel size along (x, y, slice).

    Example:
        >>> encoding = read_encoding(header_xml((15, 4, 640, 320), (0.5, 0.5, 4.5)), "scan.h5", "read k-space")
        >>> encoding.matrix, encoding.fov_mm, encoding.centre_line
        ((640, 320, 1), (320.0, 160.0, 4.5), 160)
    """
    n_slices, n_coils, n_y, n_x = shape
    # The serializer spells NumPy's numbers in a way that no reader knows.
    x_mm, y_mm, slice_mm = map(float, spacing_mm)
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=n_y, y=n_x, z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(x=n_y * y_mm, y=n_x * x_mm, z=slice_mm),
    )
    limits = xsd.encodingLimitsType(
        kspace_encoding_step_0=xsd.limitType(minimum=0, maximum=n_y - 1, center=n_y // 2),
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=n_x - 1, center=n_x // 2),
        kspace_encoding_step_2=xsd.limitType(minimum=0, maximum=0, center=0),
        slice=xsd.limitType(minimum=0, maximum=n_slices - 1, center=n_slices // 2),
    )
    encoding = xsd.encodingType(
        encodedSpace=space,
        reconSpace=space,
        encodingLimits=limits,
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    # The schema demands a resonance frequency; 0 says that it is not known.
    header = xsd.ismrmrdHeader(
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(receiverChannels=n_coils),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=0),
        encoding=[encoding],
    )
    xml: str = xsd.ToXML(header)
    return xml


def read_encoding(xml: object, path: str | os.PathLike[str], stage: str) -> Encoding:
    """Read the geometry of the first encoding.

    Args:
        xml: an ISMRMRD header.
        path: the file it comes from, for the message.
        stage: the step that reads it, for the message.

    Raises:
        InputError: not XML, or matrix or field of view is missing or not positive. Of what stands in the header the
            message repeats numbers alone.
    """
    if not isinstance(xml, (str, bytes)):
        raise InputError(path, stage, "an XML ISMRMRD header", type(xml).__name__)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        place = "line {}, column {}".format(*error.position)
        received = f"{ErrorString(error.code)} at {place}"
        raise InputError(path, stage, "an XML ISMRMRD header", received) from error
    except (LookupError, ValueError) as error:
        received = "text in an unknown encoding"
        raise InputError(path, stage, "an XML ISMRMRD header", received) from error

    def text(name: str) -> str | None:
        tags = ["encoding", *name.split("/")]
        return root.findtext("/".join(f"m:{tag}" for tag in tags), None, NAMESPACE)

    def number(name: str, kind: type[int] | type[float], least: float) -> float:
        found = text(name)
        try:
            value = kind(found or "")
        except ValueError:
            value = math.nan
        if not least <= value <= LARGEST:
            expected = f"{name} in the ISMRMRD header, a number {least:g}..{LARGEST}"
            raise InputError(path, stage, expected, _told(found))
        return value

    def code(name: str, known: type[Enum], default: str) -> str:
        found = text(name) or default
        return found if found in [default, *(each.value for each in known)] else "other"

    matrix = [int(number(f"encodedSpace/matrixSize/{axis}", int, 1)) for axis in "xyz"]
    fov = [number(f"encodedSpace/fieldOfView_mm/{axis}", float, 1e-3) for axis in "xyz"]
    shown = "reconSpace/fieldOfView_mm/"
    recon = [number(shown + axis, float, 1e-3) for axis in "xyz"] if text(shown + "x") else None
    centre, partition = (f"encodingLimits/kspace_encoding_step_{step}/center" for step in (1, 2))
    return Encoding(
        matrix=(matrix[0], matrix[1], matrix[2]),
        fov_mm=(fov[0], fov[1], fov[2]),
        centre_line=matrix[1] // 2 if text(centre) is None else int(number(centre, int, 0)),
        trajectory=code("trajectory", xsd.trajectoryType, "cartesian"),
        recon_fov_mm=None if recon is None else (recon[0], recon[1], recon[2]),
        centre_partition=matrix[2] // 2 if text(partition) is None else int(number(partition, int, 0)),
        calibration=code("parallelImaging/calibrationMode", xsd.calibrationModeType, "none"),
    )


def _told(found: str | None) -> str:
    """A number as it is, and of any other text that it is one: it can be the name of a patient."""
    if not found:
        return "none"
    try:
        return f"{float(found):g}"
    except ValueError:
        return "text that is no number"
