"""The option of the runtime's threads, which the client and the server have alike."""

from partitioner.common.defaults import DEFAULT_THREADS, MAX_THREADS
from partitioner.settings.declaration import option
from partitioner.settings.kinds import count
from partitioner.settings.panels import RUNTIME


def threads_option(sentence: str) -> int:
    """Declare how many threads compute inside one operator."""
    return option(
        DEFAULT_THREADS,
        sentence,
        count(),
        panel=RUNTIME,
        holds=lambda threads: 1 <= threads <= MAX_THREADS,
        wrong=f"{{}} threads cannot compute. Give 1 to {MAX_THREADS}.",
    )
