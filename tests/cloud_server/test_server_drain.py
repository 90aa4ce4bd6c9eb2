"""A server that goes away: it is not ready first, and what is in flight by gRPC and REST finishes."""

import asyncio
import json

import pytest

from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.cloud_calls import TIMEOUT_S, Gate, connected, crossing, oip_stub, request_for
from tests.kit.rest_calls import answer_on, connect, document_of, infer_path, post
from tests.kit.waiting import eventually


async def test_engine_stays_until_rest_has_its_answers(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two in flight by each way, one of them running; the others are begun after the drain began."""
    gate = Gate(monkeypatch)
    values = crossing(residual_bundle, "cloud")
    request = request_for(residual_bundle, "cloud", values)
    body = json.dumps(document_of(residual_bundle, "cloud", values)).encode()
    async with (
        CloudServer(residual_bundle.path, workers=1, drain_s=TIMEOUT_S) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        with connected(server.address) as channel, connect(address) as one, connect(address) as two:
            book, drain = server.served.requests, server.served.drain
            for connection in (one, two):
                connection.sendall(post(infer_path(residual_bundle), body))
            calls = [oip_stub(channel).ModelInfer.future(request, timeout=TIMEOUT_S) for _ in "ab"]
            await eventually(lambda: book.pending == 4)
            stopping = asyncio.ensure_future(server.stop())
            await eventually(lambda: drain.started)
            gate.opened.set()
            for connection in (one, two):
                status, _, answer = await asyncio.to_thread(answer_on, connection)
                assert (status, json.loads(answer)["model_name"]) == (200, "residual")
            for call in calls:
                assert (await asyncio.to_thread(call.result, TIMEOUT_S)).outputs
            await stopping
    assert (book.pending, sum(t.total.count for t in book.tallies.values())) == (0, 4)


async def test_drain_begins_after_its_notice(residual_bundle: Bundle) -> None:
    async with CloudServer(residual_bundle.path, drain_notice_s=1e-3) as server:
        drain, seen = server.served.drain, []
        with drain.listener(lambda: seen.append(drain.announced)):
            await server.stop()
        assert seen == [True]
        await server.stop()  # once is enough
