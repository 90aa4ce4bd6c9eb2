"""REST on a real port: lengths that lie, clients that hang up, and a server that goes away."""

import asyncio
import contextlib
import json
import threading
import urllib.request

import pytest

from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import UsageError
from tests.kit.cloud_calls import TIMEOUT_S, Gate, crossing
from tests.kit.rest_calls import answer_on, connect, document_of, infer_path, post
from tests.kit.waiting import eventually


def body_of(bundle: Bundle) -> bytes:
    return json.dumps(document_of(bundle, "cloud", crossing(bundle, "cloud"))).encode()


def ask(address: str, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    with connect(address) as connection:
        connection.sendall(sent)
        return answer_on(connection)


async def test_http_is_served_beside_grpc(residual_bundle: Bundle) -> None:
    def get(address: str) -> object:
        with urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=TIMEOUT_S) as page:
            return json.load(page)

    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        assert await asyncio.to_thread(get, address) == {"ready": True}
        head = b"HEAD /livez HTTP/1.1\r\nhost: cloud\r\nconnection: close\r\n\r\n"
        status, headers, body = await asyncio.to_thread(ask, address, head)
        assert (status, headers["content-length"], body) == (200, str(len('{"live":true}')), b"")
        with pytest.raises(UsageError, match=r"cannot listen on .*in use.*Choose another `http`"):
            async with serve_web(server, address):
                pass


async def test_bodies_that_lie_about_their_length_harm_nobody(residual_bundle: Bundle) -> None:
    body, path = body_of(residual_bundle), infer_path(residual_bundle)
    over = str(1 << 40)
    cases = [
        (post(path, b"", content_length=over), 413, "over the limit"),
        (post(path, body[:100], content_length="100"), 400, "Invalid JSON"),
        (post(path, body, content_length="x"), 400, ""),
        (post(path, b"zz\r\n", content_length="", transfer_encoding="chunked"), 400, ""),
    ]
    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        for sent, status, words in cases:
            found, _, answer = await asyncio.to_thread(ask, address, sent)
            assert (found, words.encode() in answer) == (status, True), sent[:100]
        # One that ends before its length, and one that goes on after it.
        with connect(address) as connection:
            connection.sendall(post(path, body[:50], content_length=str(len(body))))
        found, _, _ = await asyncio.to_thread(
            ask, address, post(path, body) + b"more of it\r\n\r\n"
        )
        assert found == 200
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        sent = post(path, chunked, content_length="", transfer_encoding="chunked")
        assert (await asyncio.to_thread(ask, address, sent))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nhost: cloud\r\n"])
async def test_connection_on_which_nothing_is_asked_for_is_let_go(
    residual_bundle: Bundle, sent: bytes
) -> None:
    whole = b"GET /livez HTTP/1.1\r\nhost: cloud\r\n\r\n"
    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0", silent_s=0.01) as address,
    ):
        for first in (b"", whole):
            with connect(address) as connection:
                if first:
                    connection.sendall(first)
                    assert (await asyncio.to_thread(answer_on, connection))[0] == 200
                with contextlib.suppress(ConnectionError):  # it may be gone before that comes
                    connection.sendall(sent)
                    assert (await asyncio.to_thread(answer_on, connection))[0] == 0


async def test_request_may_take_longer_than_a_connection_may_be_silent(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    path, body = infer_path(residual_bundle), body_of(residual_bundle)
    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0", silent_s=0.001) as address,
    ):
        with connect(address) as running:
            running.sendall(post(path, body))
            await asyncio.to_thread(gate.entered.acquire)
            loop = asyncio.get_running_loop()
            ends_s = loop.time() + 0.01  # some looks long
            await eventually(lambda: loop.time() > ends_s)
            gate.opened.set()
            assert (await asyncio.to_thread(answer_on, running))[0] == 200


async def test_client_that_hangs_up_has_its_work_cancelled(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    sent = post(infer_path(residual_bundle), body_of(residual_bundle))
    async with (
        CloudServer(residual_bundle.path, workers=1) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        with connect(address) as running, connect(address) as leaving:
            running.sendall(sent)
            await asyncio.to_thread(gate.entered.acquire)
            leaving.sendall(sent)
            await eventually(lambda: server.served.requests.pending == 2)
            leaving.close()
            await eventually(lambda: server.served.requests.pending == 1)
            gate.opened.set()
            assert (await asyncio.to_thread(answer_on, running))[0] == 200
        (tally,) = server.served.requests.tallies.values()
        assert (tally.total.count, dict(tally.failures)) == (1, {"CANCELLED": 1})


async def test_server_that_goes_away_finishes_what_it_has_and_takes_no_more(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    path, body = infer_path(residual_bundle), body_of(residual_bundle)
    async with (
        CloudServer(residual_bundle.path, workers=1, drain_s=TIMEOUT_S) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        with connect(address) as running, connect(address) as waiting:
            drain = server.served.drain
            running.sendall(post(path, body))
            await asyncio.to_thread(gate.entered.acquire)
            # Its headers are there when the drain begins, and its body is not.
            waiting.sendall(post(path, b"", content_length=str(len(body))))
            stopping = asyncio.ensure_future(server.stop())
            await eventually(lambda: drain.started)
            waiting.sendall(body)
            threading.Timer(0, gate.opened.set).start()
            status, _, answer = await asyncio.to_thread(answer_on, running)
            assert (status, json.loads(answer)["model_name"]) == (200, "residual")
            assert (await asyncio.to_thread(answer_on, waiting))[0] in (0, 200, 503)
            await stopping
