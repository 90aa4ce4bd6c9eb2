"""Precedence: the few readers and makers of a piece of work that imply all others."""

from collections.abc import Iterable

from partitioner.search.placement import Workload


class Precedence:
    """What is left of a DAG's arcs when those that follow from others are taken away."""

    def __init__(self, work: Workload) -> None:
        makers: list[set[int]] = [set() for _ in range(work.items)]
        for flow in work.flows:
            if flow.maker is not None:
                for reader in flow.readers:
                    makers[reader].add(flow.maker)
        self._before = [0] * work.items
        """A bit for each item that is computed before this one."""
        self.needs = tuple(
            (item, maker) for item in range(work.items) for maker in self._join(item, makers[item])
        )
        """Pairs of an item and a maker that it needs: the transitive reduction."""
        self.last_readers = tuple(self.last(flow.readers) for flow in work.flows)
        """The readers of each flow that no other reader of it comes after.

        They are enough to tell whether it crosses a link: if some reader is behind, so is one of these.
        """

    def last(self, items: Iterable[int]) -> tuple[int, ...]:
        """Return those of `items` that no other of them comes after, the last one first."""
        covered, found = 0, []
        for item in sorted(items, reverse=True):
            if not covered >> item & 1:
                found.append(item)
                covered |= self._before[item]
        return tuple(found)

    def _join(self, item: int, makers: Iterable[int]) -> tuple[int, ...]:
        direct = self.last(makers)
        for maker in direct:
            self._before[item] |= self._before[maker] | 1 << maker
        return direct
