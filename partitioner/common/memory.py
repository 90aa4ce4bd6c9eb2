"""Keep the memory of large messages mapped between requests."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_pages() -> bool:
    """Tell glibc to reuse freed pages instead of giving them back; False where that is not possible.

    By default every tensor above 128 KiB is mapped, faulted in page by page and unmapped again, which
    costs more than all copies together (600 KB by unary gRPC: 3.5 ms, with this call 0.8 ms).
    To be called once, at the start of a process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_M_MMAP_THRESHOLD, 1 << 30),
        (_M_TRIM_THRESHOLD, 256 << 20),
        (_M_TOP_PAD, 16 << 20),
    )
    return all(mallopt(key, value) == 1 for key, value in settings)


def release_freed_pages() -> None:
    """Give freed memory back to the system: after work that took much more than it keeps.

    Loading a ResNet-18 of 47 MB leaves 75 MB behind that nothing uses.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
