"""Triton's statistics extension: what each model has done since the server started, by gRPC and as JSON."""

from collections.abc import Awaitable, Callable

import grpc

from cloud_server.models.model_store import ModelStore
from cloud_server.observability.book_sums import RequestCounts
from cloud_server.observability.tally import Duration, Tally
from cloud_server.security.guarded_models import Access
from protos import inference_pb2 as oip
from protos.serving.answers import Catalogue, ServedKey
from protos.serving.handlers import unary
from protos.serving.inference import SERVICE


async def as_it_is() -> None:
    """Wait for nothing: the book of one process always says what is now."""


class StatisticsService:
    """Answers ModelStatistics for models that the caller may use. One asked for nothing yet has zeros.

    `gather` brings the counts up to now.
    """

    def __init__(
        self,
        store: ModelStore,
        catalogue: Catalogue,
        access: Access,
        counts: RequestCounts,
        gather: Callable[[], Awaitable[None]] = as_it_is,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._access = access
        self._counts = counts
        self._gather = gather

    async def model_statistics(
        self, request: oip.ModelStatisticsRequest
    ) -> oip.ModelStatisticsResponse:
        """Return the counts of one model, or of all; UnknownNameError names those that exist."""
        await self._gather()
        tallies = self._counts.tallies
        keys = self._keys(request.name, request.version)
        return oip.ModelStatisticsResponse(
            model_stats=[_message(key, tallies.get(key) or Tally()) for key in keys]
        )

    def _keys(self, name: str, version: str) -> list[ServedKey]:
        if not name:
            return [
                (name, one)
                for name, model in self._store.models.items()
                if self._access.allows(model.bundle_name)
                for one in model.versions
            ]
        model = self._catalogue.find(name, version)
        return [(model.name, one) for one in ((model.version,) if version else model.versions)]

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers beside the other methods of the protocol."""
        method = unary(
            self.model_statistics, oip.ModelStatisticsRequest, oip.ModelStatisticsResponse
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"ModelStatistics": method})


def _message(key: ServedKey, tally: Tally) -> oip.ModelStatistics:
    name, version = key
    failed = Duration(tally.failures.total(), tally.failed_ns)
    return oip.ModelStatistics(
        name=name,
        version=version,
        last_inference=int(tally.last_time_s * 1000),
        inference_count=tally.rows,
        execution_count=tally.executions,
        inference_stats=oip.InferStatistics(
            success=_duration(tally.total),
            fail=_duration(failed),
            queue=_duration(tally.queue),
            compute_input=_duration(tally.decode),
            compute_infer=_duration(tally.compute),
            compute_output=_duration(tally.encode),
        ),
        batch_stats=[
            oip.InferBatchStatistics(
                batch_size=size,
                compute_input=_duration(batch.decode),
                compute_infer=_duration(batch.compute),
                compute_output=_duration(batch.encode),
            )
            for size, batch in sorted(tally.batches.items())
        ],
    )


def _duration(found: Duration) -> oip.StatisticDuration:
    return oip.StatisticDuration(count=found.count, ns=found.ns)
