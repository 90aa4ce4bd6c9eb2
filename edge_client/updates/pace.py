"""The pace of a download beside frames: small pieces, pauses as long as the pieces, and a cap on its rate.

Frames share the link with a piece for a tenth of a second at most where the link allows that, and find it
free at least half of the time.
"""

from dataclasses import dataclass

_PIECE_S = 0.1
_LEAST_BYTES, _MOST_BYTES = 8 << 10, 512 << 10
_GROWTH = 2.0


@dataclass
class DownloadPace:
    """Says how large the next piece is, and when it may be asked for. Seconds are of any one clock.

    `rate_bps`: bits per second that the download takes at most, on the average; None: no cap.
    """

    rate_bps: float | None = None
    piece_bytes: int = 4 * _LEAST_BYTES
    """Of the next piece."""
    _free_at: float = float("-inf")

    def came(self, size_bytes: int, asked_at: float, came_at: float) -> None:
        """Note a piece that came."""
        took_s = max(1e-6, came_at - asked_at)
        rest_s = took_s
        if self.rate_bps is not None:
            rest_s = max(rest_s, 8 * size_bytes / self.rate_bps - took_s)
        self._free_at = came_at + rest_s
        if size_bytes >= self.piece_bytes or took_s > _PIECE_S:  # the end of a file tells nothing
            wanted = self.piece_bytes * min(_GROWTH, _PIECE_S / took_s)
            self.piece_bytes = int(min(_MOST_BYTES, max(_LEAST_BYTES, wanted)))

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until the next piece may be asked for."""
        return max(0.0, self._free_at - now_s)
