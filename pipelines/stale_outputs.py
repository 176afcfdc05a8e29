"""What earlier runs wrote of a case, and its last record does not hold."""

from collections.abc import Iterable
from pathlib import Path

from kseg.pipelines.items import Record
from kseg.pipelines.records import read_outputs


class StaleOutputs:
    """Removes results that lie beside new ones and are of another bundle, other settings or another input.

    Args:
        output: folder of the results.
        paths: files of the records of earlier runs.

    Raises:
        InputError: records that cannot be read.
    """

    def __init__(self, output: Path, paths: Iterable[Path]) -> None:
        self._output = output
        self._written = read_outputs(paths)

    def settle(self, record: Record) -> Record:
        """Remove what was written of a case and is none of its results.

        An input that has gone takes nothing with it.

        Args:
            record: what became of the case.

        Returns:
            The record; of a case that failed without what was written of it.

        Raises:
            OSError: a file that cannot be removed.
        """
        done = record["status"] == "ok"
        written = record.get("outputs", {})
        if done or record["size"] >= 0:
            for name in self._written.get(record["case"], set()) | set(written):
                if not (done and name in written):
                    self._remove(name)
        return record if done else {key: value for key, value in record.items() if key != "outputs"}

    def _remove(self, name: str) -> None:
        path = self._output / name
        # A record can be anybody's.
        if path.is_file() and path.parent.resolve().is_relative_to(self._output.resolve()):
            path.unlink()
