"""The page of metrics: those of the server, of its process, and of the edges that report."""

import asyncio

from prometheus_client.exposition import choose_encoder

from cloud_server.models.tails import TailCounts
from cloud_server.observability.book_sums import ToldBooks, added
from cloud_server.observability.server_metrics import ServedFacts, add_server_metrics
from cloud_server.server_parts import Served
from protos.names import EDGE, model_name
from protos.serving.metrics import registry_of


class MetricsPage:
    """Makes the page from the books of a server. For its event loop."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._registry = registry_of(served.edges.newest)
        add_server_metrics(
            self._registry, served.requests, served.calls, lambda: served_facts(served)
        )

    async def write(self, accepted: str) -> tuple[bytes, str]:
        """Return the page in the format that an Accept header asks for, and its content type."""
        await self._served.gather()
        self._served.requests.keep(served_facts(self._served).models)
        encode, content_type = choose_encoder(accepted)
        return await asyncio.to_thread(encode, self._registry), content_type


def served_facts(served: Served) -> ServedFacts:
    """Return what a server serves now; from any thread."""
    versions = [one for all_of in served.store.versions.values() for one in all_of]
    counts: list[TailCounts | ToldBooks] = [served.store.counts, *served.sums.all_told]
    sizes = added(served.store.sizes(), served.sums.tail_bytes)
    return ServedFacts(
        models={
            (model_name(version.name, cut), version.number): (version.name, cut)
            for version in versions
            for cut in version.bundle.cuts
            if cut != EDGE
        },
        bundles=[(one.name, one.number, one.bundle.digest) for one in versions],
        tail_bytes=sizes,
        pages=served.pages,
        greetings=served.greetings.counts,
        loads=sum(one.loads for one in counts),
        failed_loads=sum(one.failed_loads for one in counts),
        load_s=sum(one.load_s for one in counts),
        evictions=sum(one.evictions for one in counts),
        ready=served.drain.ready,
        replicas={number: told.costs for number, told in served.sums.told.items()},
        missing_replicas=served.sums.missing,
        upkeep=served.upkeep(),
    )
