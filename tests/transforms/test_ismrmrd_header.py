import numpy as np
import pytest
from ismrmrd import xsd

from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import Encoding, header_xml, read_encoding

XML = header_xml((15, 4, 640, 320), (0.5, np.float64(0.25), 4.5))


def test_header_comes_back():
    encoding = read_encoding(XML.encode(), "scan.h5", "read")
    assert encoding == Encoding((640, 320, 1), (160.0, 160.0, 4.5), 160, "cartesian")


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</ismrmrdHeader>", "", "expected an XML ISMRMRD header, received no element found"),
        (
            "<x>640</x>",
            "",
            r"encodedSpace/matrixSize/x in the ISMRMRD header, a number 1..65535, received none",
        ),
        ("<x>640</x>", "<x>0</x>", r"matrixSize/x in the ISMRMRD header, a number 1..65535, received '0'"),
        ("<x>640</x>", "<x>wide</x>", r"matrixSize/x .*, received 'wide'"),
        ("<x>640</x>", "<x>65536</x>", r"matrixSize/x .*, received '65536'"),
        ("<z>4.5</z>", "<z>0.0</z>", r"fieldOfView_mm/z in .* a number 0.001..65535, received '0.0'"),
        ("<z>4.5</z>", "<z>nan</z>", r"fieldOfView_mm/z .*, received 'nan'"),
        ("<center>160</center>", "<center>-1</center>", r"kspace_encoding_step_1/center .*, received '-1'"),
        ("http://www.ismrm.org/ISMRMRD", "urn:other", "encodedSpace/matrixSize/x .*, received none"),
    ],
)
def test_other_headers_are_refused(old, new, message):
    assert old in XML
    with pytest.raises(InputError, match=rf"^scan.h5: read: .*{message}"):
        read_encoding(XML.replace(old, new), "scan.h5", "read")


def test_a_header_that_is_no_text_is_refused():
    with pytest.raises(InputError, match=r"expected an XML ISMRMRD header, received float"):
        read_encoding(1.0, "scan.h5", "read")
