"""Rights of files with secrets."""

import os
import stat

import pytest

from protos.security.private_files import open_to_others


@pytest.mark.parametrize(
    ("mode", "owner", "may"),
    [
        (0o600, 1000, ""),
        (0o400, 1000, ""),
        (0o640, 1000, "read"),
        (0o604, 1000, "read"),
        (0o620, 1000, "write"),
        (0o602, 1000, "write"),
        (0o440, 0, ""),
        (0o640, 0, ""),
        (0o460, 0, "write"),
        (0o444, 0, "read"),
    ],
)
def test_group_may_read_what_is_roots_and_nobody_more(mode: int, owner: int, may: str) -> None:
    found = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))
    assert open_to_others(found) == may
