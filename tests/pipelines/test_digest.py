import hashlib
from pathlib import Path

from kseg.pipelines.digest import file_sha256


def test_the_digest_is_that_of_the_whole_file(tmp_path: Path):
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a").write_bytes(content[:-1])
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content[:-1]).hexdigest()
