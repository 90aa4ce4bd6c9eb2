"""Which replica gets a request: the less busy of two that are drawn from all nodes."""

import random
from collections.abc import Sequence
from typing import Any

from ray.serve.request_router import FIFOMixin, MultiplexMixin, RequestRouter

_DRAWN = 2
"""Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 2001."""


class SpreadingRouter(FIFOMixin, MultiplexMixin, RequestRouter):  # type: ignore[misc]
    """Draws from the replicas of all nodes, or from those that have a model in memory which the caller names.

    Serve's own router keeps requests at the proxy's node until the replicas there are full. A device stays
    with one proxy as long as its connection holds, so those of a crowded node would wait beside idle nodes.
    """

    async def choose_replicas(
        self, candidate_replicas: Sequence[Any], pending_request: Any = None
    ) -> list[list[Any]]:
        """Return the replicas of which Serve takes the less busy one; it asks again where both are full."""
        found = list(candidate_replicas)
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True
            if pending_request.metadata.multiplexed_model_id:
                there = self.apply_multiplex_routing(pending_request)
                found = [one for one in found if one.replica_id in there]
        return [random.sample(found, min(_DRAWN, len(found)))]


ROUTER = f"{__name__}:{SpreadingRouter.__name__}"
"""As Serve's options name it; the proxies load it."""
