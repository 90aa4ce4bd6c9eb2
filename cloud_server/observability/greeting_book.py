"""The book of greetings: whether edges find here the version of a bundle that they hold."""

import logging
from collections import Counter
from collections.abc import Mapping, Set
from enum import StrEnum
from types import MappingProxyType

from protos.serving.bounded_log import BoundedLog
from protos.serving.callers import CALLER
from protos.telemetry import DIGEST_SHOWN


class Greeting(StrEnum):
    """What an edge finds that greets the server."""

    SERVED = "served"
    """The version that it holds."""
    OTHER_VERSION = "other_version"
    """Its bundle, and other versions of it alone."""
    NO_BUNDLE = "no_bundle"
    """No bundle of that name, or none that it may use."""


class GreetingBook:
    """Counts in plain integers. Belongs to the event loop's thread.

    An edge greets when it starts, and again and again while it looks for its version: a count that keeps
    growing tells of edges without a cloud, also where they can report nothing else.
    """

    def __init__(self) -> None:
        self._counts = Counter(dict.fromkeys(Greeting, 0))
        self._log = BoundedLog(logging.getLogger(__name__))

    @property
    def counts(self) -> Mapping[Greeting, int]:
        """Greetings by what they found, all of them from the start."""
        return MappingProxyType(self._counts)

    def note(self, name: str, digest: str, there: Mapping[str, Set[str]]) -> Greeting:
        """Count the greeting of one that holds a bundle; `there`: digests by the names that it may use."""
        found = Greeting.NO_BUNDLE
        if name in there:
            found = Greeting.SERVED if digest in there[name] else Greeting.OTHER_VERSION
        self._counts[found] += 1
        if found is not Greeting.SERVED:
            has = ", ".join(sorted(one[:DIGEST_SHOWN] for one in there.get(name, ())))
            self._log.write(
                f"{CALLER.get() or 'an edge'} holds {digest[:DIGEST_SHOWN]} of {name}, which is not "
                f"served here ({has or 'no version is'}): it has no cloud here"
            )
        return found
