"""The check of a version on this device, before any frame is served by it."""

import asyncio
import logging
import math
from collections.abc import Mapping
from functools import partial
from itertools import count
from time import perf_counter

import numpy as np

from edge_client.cloud.reply import check_outputs
from edge_client.cloud.transport import GrpcTransport
from edge_client.frames.choice import Choice, choose
from edge_client.frames.head import HeadRunner
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import largest_difference, verify_bundle
from partitioner.runtime.sessions import random_feeds
from protos.errors import BundleError, TooLargeError, UsageError
from protos.names import CLOUD, EDGE
from protos.tensors import Array

_log = logging.getLogger(__name__)

_ANSWER_S = 60.0
"""The cloud may load a tail of which it has never heard, and the link may be slow."""
_AGREEMENT = 1e-3
"""Two machines round differently: outputs may differ by that share of the largest of them."""
_SMALLEST = 1e-6

Feeds = Mapping[str, Array]


class DeviceCheck:
    """Checks one version with one frame: a sample of the bundle's own, else a random one.

    All methods raise BundleError for a version that must not be used.
    """

    def __init__(
        self, stages: Stages, transport: GrpcTransport | None, request_ids: "count[int]"
    ) -> None:
        self._bundle = stages.bundle
        # Without exits, which may answer before the cloud is asked; with ids that no frame and no other check
        # has, whose answers may still be on their way.
        self._runner = HeadRunner(stages, request_ids)
        self._stages = stages
        self._transport = transport
        samples = self._bundle.samples()
        rng = np.random.default_rng(0)
        self._feeds = samples[0] if samples else random_feeds(self._bundle.inputs, rng)

    async def run(self, first: Choice) -> None:
        """Check the cut that comes first, or one inside the model where that is an end.

        Head + tail here equal the whole model, where all of it is here and memory is not bounded; and the
        head here with the tail in the cloud equal the whole model in the cloud, where the cloud takes either
        message. Raises NetworkError and what
        the server refuses, too.
        """
        cut_id = self._inner(first.cut.id)
        if not self._bundle.heads_only and self._stages.memory_bytes is None:
            await asyncio.to_thread(self._compare_here, cut_id)
        if self._transport is not None and cut_id is not None:
            await self._compare_with_cloud(self._transport, cut_id)

    def _inner(self, first: str) -> str | None:
        """Return a cut with a head and a tail; None in a bundle without."""
        if first not in (CLOUD, EDGE):
            return first
        return next((cut for cut in self._bundle.cuts if cut not in (CLOUD, EDGE)), None)

    def _compare_here(self, cut_id: str | None) -> None:
        chosen = self._bundle.only(() if cut_id is None else (cut_id,))
        for check in verify_bundle(chosen, [self._feeds], self._stages.options):
            if not check.ok:
                said = check.failure or f"differs by {check.max_abs_diff:.3g}"
                raise BundleError(f"on this device, {_differs(self._bundle, check.cut)}: {said}")

    async def _compare_with_cloud(self, transport: GrpcTransport, cut_id: str) -> None:
        try:
            whole = await self._ask(transport, CLOUD)
            split = await self._ask(transport, cut_id)
        except TooLargeError as error:
            _log.info("version %s… is not compared: %s", self._bundle.digest[:12], error)
            return
        for name, wanted in whole.items():
            largest = float(np.max(np.abs(wanted.astype(np.float64)), initial=_SMALLEST))
            gap = largest_difference(split[name], wanted)
            if not gap <= _AGREEMENT * largest:
                raise BundleError(
                    f"with its head here and its tail in the cloud, {_differs(self._bundle, cut_id)}: {name} "
                    f"differs by {gap:.3g} of {largest:.3g}"
                )

    async def _ask(self, transport: GrpcTransport, cut_id: str) -> dict[str, Array]:
        """Return the outputs of the check's frame at a cut, from here and from the cloud."""
        choice = choose(self._bundle, cut_id, None, "checking a version")
        arguments = (self._feeds, 0, perf_counter(), math.inf, choice)
        work = await asyncio.to_thread(partial(self._runner.prepare, *arguments))
        if work.message is None:
            raise UsageError(
                f"nothing crosses at {cut_id!r}, so that the cloud has nothing to say."
            )
        reply = await transport.call(work.request_id, work.message, _ANSWER_S)
        rest = [spec for spec in self._bundle.outputs if spec.name in choice.cut.tail_outputs]
        check_outputs(reply.outputs, rest)
        own = {name: work.values[name] for name in choice.cut.head_outputs}
        return {spec.name: {**own, **reply.outputs}[spec.name] for spec in self._bundle.outputs}


def _differs(bundle: Bundle, cut_id: str) -> str:
    digest = bundle.digest[:12]
    return f"version {digest}… of {bundle.name!r} cut at {cut_id!r} is not the whole model"
