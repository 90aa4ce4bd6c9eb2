"""A process whose memory is known to the byte, for those who measure what a stage takes."""

from types import SimpleNamespace


class Resident:
    """What is in use, and what was freed and not given back: the system counts both."""

    def __init__(self, used_bytes: int, freed_bytes: int) -> None:
        self.used_bytes, self.freed_bytes = used_bytes, freed_bytes

    def release(self) -> None:
        """Give back what was freed."""
        self.freed_bytes = 0

    def load(self, size_bytes: int) -> None:
        """Take memory as `open_stage` does: from what was freed, which it gives back at its end."""
        self.used_bytes += size_bytes
        self.release()

    def memory_info(self) -> SimpleNamespace:
        """Return the resident bytes, as psutil does."""
        return SimpleNamespace(rss=self.used_bytes + self.freed_bytes)
