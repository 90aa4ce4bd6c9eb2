"""Files that a server sends in pieces: what leaves the folder or its length is refused."""

from pathlib import Path

import pytest

from edge_client.cloud.file_pieces import inside, write_files
from protos.errors import BundleError
from protos.splitpoint_pb2 import FetchBundleResponse


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", "a\\..\\x", "a\0b", "..", "graphs/.."]
)
def test_file_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BundleError, match="lies outside"):
        inside(tmp_path, path)


def test_file_that_is_longer_than_announced_is_refused(tmp_path: Path) -> None:
    pieces = [FetchBundleResponse(path="a", size_bytes=3, chunk=b"ab")] * 2
    with pytest.raises(BundleError, match="more of a than the 3 bytes"):
        write_files(tmp_path, pieces, lambda *_: None)
