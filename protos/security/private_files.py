"""Private files: what the rights of a file with a secret let others do."""

import os
from typing import Final

_OTHERS: Final = 0o077
_OTHERS_OF_ROOTS: Final = 0o037
_WRITING: Final = 0o022


def open_to_others(found: os.stat_result) -> str:
    """Return what others may do with a file of this status, `read` or `write`; empty: nothing.

    A group may read a file of root's: so orchestrators mount secrets.
    """
    shared = found.st_mode & (_OTHERS if found.st_uid else _OTHERS_OF_ROOTS)
    if not shared:
        return ""
    return "write" if shared & _WRITING else "read"
