from typing import Any

import pytest

from kseg.pipelines.segment_settings import SegmentSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 0.0}, r"^fraction: expected a number in \(0, 1\], received 0\.0$"),
        ({"fraction": 1.5}, r"^fraction: expected a number in \(0, 1\], received 1\.5$"),
        (
            {"bids": True, "dicom_seg": True},
            r"^dicom seg: expected DICOM series, received a BIDS dataset, which",
        ),
        ({"center_lines": -1}, r"^center lines: expected 0 or more, received -1$"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentSettings(**settings)
