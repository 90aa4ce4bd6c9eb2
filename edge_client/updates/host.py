"""The host of versions: what an updater needs of the client whose frames they serve."""

from typing import Protocol, TypeVar

from edge_client.updates.trial import VersionTally
from partitioner.bundle.bundle import Bundle


class Candidate(Protocol):
    """A version that can serve frames."""

    bundle: Bundle
    tally: VersionTally

    async def close(self) -> None:
        """Let go of it."""
        ...


C = TypeVar("C", bound=Candidate)


class Host(Protocol[C]):
    """What runs versions: a client."""

    @property
    def version(self) -> C:
        """The one that frames begin on."""
        ...

    async def prepare_version(self, bundle: Bundle, /) -> C:
        """Make one ready; raises what keeps it from being used."""
        ...

    async def check_version(self, candidate: C, /) -> None:
        """Check one that is ready; raises BundleError for one that must not be used."""
        ...

    async def swap_to(self, candidate: C, /) -> C:
        """Begin the next frame with it; return the one before."""
        ...
