"""Show how far a command is: a bar on a terminal, one plain line per case otherwise."""

import logging
import sys
from collections.abc import Iterator, Sequence

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_logger = logging.getLogger(__name__)


def progress(cases: Sequence[str], stage: str, unit: str = "file") -> Iterator[str]:
    """Yield cases while showing how many are done.

    Args:
        cases: names of what is worked on.
        stage: what is being done.
        unit: what a case is.
    """
    if sys.stderr.isatty():
        # Messages of the meantime go above the bar, not through it.
        with logging_redirect_tqdm():
            yield from tqdm(cases, desc=stage, unit=unit)
    else:
        for number, case in enumerate(cases, start=1):
            _logger.info("%s %d/%d: %s", stage, number, len(cases), case)
            yield case
