from dataclasses import replace

import numpy as np
import pytest
from ismrmrd import xsd

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding, header_xml, read_encoding

XML = header_xml((15, 4, 640, 320), (0.5, np.float64(0.25), 4.5))
FIRST, SECOND = XML.split("<reconSpace>")
SHOWN = (SECOND, SECOND.replace("<x>160.0</x>", "<x>80.0</x>").replace("<y>160.0</y>", "<y>120.0</y>"))


def test_header_comes_back():
    encoding = read_encoding(XML.encode(), "scan.h5", "read")
    size = 160.0, 160.0, 4.5
    assert encoding == Encoding((640, 320, 1), size, 160, "cartesian", recon_fov_mm=size)
    assert encoding.without_oversampling() == replace(encoding, recon_fov_mm=None)
    assert replace(encoding, recon_fov_mm=None).without_oversampling().matrix == (640, 320, 1)


def test_header_is_valid_for_the_ismrmrd_package_and_names_nobody():
    header = xsd.CreateFromDocument(XML)
    encoding = header.encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (640, 320)
    assert encoding.reconSpace == encoding.encodedSpace
    assert encoding.encodedSpace.fieldOfView_mm.x == 160.0
    assert (encoding.encodingLimits.slice.maximum, encoding.encodingLimits.slice.center) == (14, 7)
    assert header.acquisitionSystemInformation.receiverChannels == 4
    assert header.subjectInformation is None
    assert header.studyInformation is None


def test_spacing_is_field_of_view_by_matrix_and_phase_encoding_is_x():
    affine = Encoding((8, 4, 2), (16.0, 12.0, 10.0), 2).affine(2)
    np.testing.assert_array_equal(np.diag(affine), [3.0, 2.0, 5.0, 1.0])
    np.testing.assert_array_equal(affine @ [2, 4, 1, 1], [0, 0, 0, 1])


def test_the_centre_line_may_be_missing():
    start, end = XML.index("<kspace_encoding_step_1>"), XML.index("</kspace_encoding_step_1>")
    xml = XML[:start] + XML[end + len("</kspace_encoding_step_1>") :]
    assert read_encoding(xml, "scan.h5", "read").centre_line == 160


def test_oversampling_is_what_the_header_shows_less_of():
    encoding = read_encoding(XML.replace(*SHOWN), "scan.h5", "read")
    assert encoding.recon_fov_mm == (80.0, 120.0, 4.5)
    shown = encoding.without_oversampling()
    # Phase encoding keeps its extent; voxels keep their size.
    assert (shown.matrix, shown.fov_mm) == ((320, 320, 1), (80.0, 160.0, 4.5))
    slab = Encoding((64, 48, 20), (128.0, 96.0, 60.0), 24, recon_fov_mm=(256.0, 96.0, 48.0))
    assert slab.without_oversampling().matrix == (64, 48, 16)
    assert slab.without_oversampling().fov_mm == (128.0, 96.0, 48.0)


def test_calibration_and_partitions_are_read():
    mode = "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
    mode += "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
    mode += "<calibrationMode>embedded</calibrationMode></parallelImaging></encoding>"
    encoding = read_encoding(XML.replace("</encoding>", mode), "scan.h5", "read")
    assert (encoding.calibration, encoding.centre_partition) == ("embedded", 0)
    assert read_encoding(XML, "scan.h5", "read").calibration == "none"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "</ismrmrdHeader>",
            "",
            "expected an XML ISMRMRD header, received no element found at line [0-9]+, column [0-9]+$",
        ),
        (
            "<x>640</x>",
            "",
            r"encodedSpace/matrixSize/x in the ISMRMRD header, a number 1..65535, received none",
        ),
        ("<x>640</x>", "<x>640.5</x>", r"matrixSize/x .*, received 640.5$"),
        ("<x>640</x>", "<x>0</x>", r"matrixSize/x in the ISMRMRD header, a number 1..65535, received 0$"),
        ("<x>640</x>", "<x>wide</x>", r"matrixSize/x .*, received text that is no number$"),
        ("<x>640</x>", "<x>65536</x>", r"matrixSize/x .*, received 65536$"),
        ("<z>4.5</z>", "<z>0.0</z>", r"fieldOfView_mm/z in .* a number 0.001..65535, received 0$"),
        ("<z>4.5</z>", "<z>nan</z>", r"fieldOfView_mm/z .*, received nan$"),
        ("<center>160</center>", "<center>-1</center>", r"kspace_encoding_step_1/center .*, received -1$"),
        ("http://www.ismrm.org/ISMRMRD", "urn:other", "encodedSpace/matrixSize/x .*, received none"),
    ],
)
def test_other_headers_are_refused(old, new, message):
    assert old in XML
    with pytest.raises(InputError, match=rf"^scan.h5: read: .*{message}"):
        read_encoding(XML.replace(old, new), "scan.h5", "read")


def test_a_header_in_an_unknown_encoding_is_refused():
    with pytest.raises(
        InputError, match=r"expected an XML ISMRMRD header, received text in an unknown encoding$"
    ):
        read_encoding(XML.replace('"ascii"', '"accii"').encode(), "scan.h5", "read")


def test_a_header_that_is_no_text_is_refused():
    with pytest.raises(InputError, match=r"expected an XML ISMRMRD header, received float"):
        read_encoding(1.0, "scan.h5", "read")


SECRET = "JANE^DOE"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<x>640</x>", f"<x>{SECRET}</x>"),
        ("<z>4.5</z>", f"<z>4.5 {SECRET}</z>"),
        ("<center>160</center>", f"<center>\x1b]0;{SECRET}\x07</center>"),
        ("</ismrmrdHeader>", f"<{SECRET}/></ismrmrdHeader>"),
        ("</ismrmrdHeader>", f"&{SECRET[:4]};</ismrmrdHeader>"),
        ('"ascii"', f'"{SECRET}"'),
        ('"ascii"', f'"{SECRET[:4]}"'),
    ],
)
def test_texts_of_a_header_are_not_repeated(old, new):
    assert old in XML
    with pytest.raises(InputError) as refused:
        read_encoding(XML.replace(old, new).encode(), "scan.h5", "read")
    assert str(refused.value).isprintable()
    assert SECRET[:4] not in str(refused.value)


def test_codes_that_the_schema_does_not_know_are_other():
    mode = f"<parallelImaging><calibrationMode>{SECRET}</calibrationMode></parallelImaging></encoding>"
    xml = XML.replace(">cartesian<", f">{SECRET}<").replace("</encoding>", mode)
    encoding = read_encoding(xml, "scan.h5", "read")
    assert (encoding.trajectory, encoding.calibration) == ("other", "other")
