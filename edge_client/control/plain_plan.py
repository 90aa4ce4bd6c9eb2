"""The plan for a standard server, which measures nothing: the link by probes, its speed by a few requests."""

import statistics
from collections.abc import Iterator, Sequence
from time import perf_counter

import grpc
import numpy as np

from edge_client.cloud.link_measurement import measure_link, plain_probing
from edge_client.cloud.plain.plain_server import PlainServer
from edge_client.cloud.unary_call import OIP_SERVICE
from edge_client.control.startup_plan import GUESSED_SCALE, edge_profile, slower
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import release_freed_pages
from partitioner.common.progress import OnProgress, unheard
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profile import CutProfile, Profile
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from protos.codecs.plain_tensors import PLAIN_CODECS
from protos.codecs.registry import get_codec
from protos.errors import NetworkError, SplitpointError
from protos.names import EDGE
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.wire.framing import encode_request
from protos.wire.messages import pack_plain_request, plain_request_bytes

_TRIED = 3
"""Models whose seconds are measured,"""
_RUNS = 4
"""each by so many requests; the first loads what it needs and does not count."""
_BUDGET_S = 3.0
"""No further model is tried after so long."""
_LEAST_SCALE, _LARGEST_SCALE = 0.01, 20.0


def plan_with_plain_server(
    bundle: Bundle,
    server: Endpoint,
    options: RuntimeOptions,
    found: PlainServer,
    *,
    link: Link | None = None,
    codec: str | None = None,
    accuracy_drop: float | None = None,
    slowdown: float = 1.0,
    on_progress: OnProgress = unheard,
) -> Plan:
    """Return the plan for `link`, or for the link to a standard server as measured now.

    All its options have the bytes that they take as plain tensors; the server may lack some of the models.
    Its profile is this device's, scaled by what a few requests took beyond the link. Raises NetworkError
    where the server does not answer, and what it refuses.
    """
    try:
        here = edge_profile(bundle, options, on_progress)
    finally:
        release_freed_pages()
    if link is None:
        on_progress("the link", 0, 1)
        with plain_probing(server) as probe:
            link = measure_link(probe, both_ways=False).link
    plainly = here.model_copy(
        update={"cuts": {name: _plain_cut(bundle, name, cut) for name, cut in here.cuts.items()}}
    )
    cloud = plainly.scaled(_scale(bundle, server, found, plainly, link, on_progress))
    return plan(
        bundle, link, slower(plainly, slowdown), cloud, codec=codec, accuracy_drop=accuracy_drop
    )


def _plain_cut(bundle: Bundle, name: str, cut: CutProfile) -> CutProfile:
    """Return a cut's profile with the codecs that travel as plain tensors, and the bytes that they take."""
    if name == EDGE or name not in bundle.cuts:
        return cut
    frontier = bundle.cut(name).frontier
    codecs = {
        codec: found.model_copy(
            update={
                "upload_bytes": plain_request_bytes(
                    bundle.name, name, frontier, get_codec(codec, bundle.ranges)
                )
            }
        )
        for codec, found in cut.codecs.items()
        if codec in PLAIN_CODECS
    }
    return cut.model_copy(update={"codecs": codecs})


def _scale(
    bundle: Bundle,
    server: Endpoint,
    found: PlainServer,
    here: Profile,
    link: Link,
    on_progress: OnProgress,
) -> float:
    """Return how many times as long as this device the server takes for a tail."""
    shares: list[float] = []
    for cut, codec, tail_s in _to_try(found, here, link):
        on_progress(f"the server, {cut} {codec}".rstrip(), len(shares), _TRIED)
        try:
            took_s = min(_timed_runs(bundle, server, cut, codec, link))
        except NetworkError:
            raise
        except SplitpointError:
            continue  # the frames will tell
        shares.append(took_s / tail_s)
    if not shares:
        return GUESSED_SCALE
    return min(max(statistics.median(shares), _LEAST_SCALE), _LARGEST_SCALE)


def _to_try(found: PlainServer, here: Profile, link: Link) -> Iterator[tuple[str, str, float]]:
    """Yield some models and what this device takes for their tails: those that tell most for their bytes."""
    told: list[tuple[float, str, str, float]] = []
    for name, cut in here.cuts.items():
        offered = [codec for codec in cut.codecs if f"{name}/{codec}" in found.labels]
        if not offered or cut.tail is None or cut.tail.seconds <= 0:
            continue
        codec = min(offered, key=lambda each: cut.codecs[each].upload_bytes)
        crossing_s = link.predict_s(cut.codecs[codec].upload_bytes, cut.download_bytes)
        told.append((cut.tail.seconds / crossing_s, name, codec, cut.tail.seconds))
    begun_s = perf_counter()
    for _, name, codec, tail_s in sorted(told, reverse=True)[:_TRIED]:
        if perf_counter() - begun_s > _BUDGET_S:
            return
        yield name, codec, tail_s


def _timed_runs(
    bundle: Bundle, server: Endpoint, cut: str, codec: str, link: Link
) -> Sequence[float]:
    """Return what the server took for some requests, as far as the link does not explain it."""
    frontier = bundle.cut(cut).frontier
    values = random_feeds(frontier, np.random.default_rng(0))
    by = get_codec(codec, bundle.ranges)
    header, buffers = pack_plain_request(bundle.name, cut, "trial", values, frontier, by)
    message = encode_request(header, buffers)
    took_s: list[float] = []
    with server.open() as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary(f"{OIP_SERVICE}ModelInfer")
        for _ in range(_RUNS):
            begun_s = perf_counter()
            try:
                answer = call(message, timeout=_BUDGET_S + 10 * link.predict_s(len(message), 1))
            except grpc.RpcError as failure:
                raise translate(failure, server) from failure
            crossing_s = link.predict_s(len(message), len(answer))
            took_s.append(max(0.0, perf_counter() - begun_s - crossing_s))
    return took_s[1:]
