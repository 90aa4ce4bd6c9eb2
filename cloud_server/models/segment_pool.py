"""The segments of a bundle in memory, and the tails that are computed by them."""

from collections.abc import Collection

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.chain import Chain
from partitioner.runtime.sessions import RuntimeOptions, Stage


class SegmentPool:
    """Segments of one bundle, each loaded once, and the chains that they make.

    `chain` may be called from any thread, `open` from one at a time.
    """

    def __init__(self, bundle: Bundle, options: RuntimeOptions) -> None:
        self.size_bytes = 0
        """What its segments take, as whoever had them loaded found."""
        self._bundle = bundle
        self._options = options
        self._segments: dict[str, Stage] = {}
        self._chains: dict[str, Chain] = {}

    def chain(self, cut: str) -> Chain | None:
        """Return the tail of a cut if all of its segments are in memory and it was asked for before."""
        return self._chains.get(cut)

    @property
    def cuts(self) -> tuple[str, ...]:
        """The cuts whose tails can be computed by what is in memory."""
        return tuple(self._chains)

    @property
    def segments(self) -> Collection[Stage]:
        """The segments that are in memory."""
        return tuple(self._segments.values())

    def open(self, cut: str) -> Chain:
        """Return the tail of a cut, loading the segments that are missing.

        Raises BundleError when the runtime refuses one, or the bundle lacks it.
        """
        found = self._chains.get(cut) or self._bundle.open_chain(cut, self._segments, self._options)
        if found is None:
            raise ValueError(f"{self._bundle.name} has no segments behind {cut}")
        self._chains[cut] = found
        return found
