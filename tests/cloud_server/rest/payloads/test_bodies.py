"""Bodies are bounded one by one, all together, and in time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from cloud_server.rest.payloads.bodies import Bodies, LateBodyError
from protos.errors import OverloadedError, TooLargeError, UsageError


class Wire:
    """Chunks that come one by one; after them nothing, or the end of the connection."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        ends: bool = True,
        length: str | None = None,
        host: str = "one",
    ):
        self.left, self.taken, self._ends, self._length = list(chunks), 0, ends, length
        self._host = host

    async def receive(self) -> dict[str, object]:
        if not self.left:
            if self._ends:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        self.taken += 1
        body = self.left.pop(0)
        more = bool(self.left) or not self._ends
        return {"type": "http.request", "body": body, "more_body": more}

    def request(self) -> Request:
        headers = [] if self._length is None else [(b"content-length", self._length.encode())]
        scope = {"type": "http", "headers": headers, "client": (self._host, 1)}
        return Request(scope, self.receive)


async def test_body_is_held_while_it_is_used() -> None:
    bodies = Bodies(10)
    async with bodies.read(Wire([b"123", b"45"]).request()) as body:
        assert (body, bodies.held_bytes) == (b"12345", 5)
        async with bodies.read(Wire([b"678"], length="3").request()):
            assert bodies.held_bytes == 8
    assert bodies.held_bytes == 0


@pytest.mark.parametrize("length", ["11", "9" * 30])
async def test_body_that_says_it_is_too_large_is_not_read(length: str) -> None:
    bodies, wire = Bodies(10), Wire([b"1" * 11], length=length)
    with pytest.raises(TooLargeError, match="over the limit of 10 bytes"):
        async with bodies.read(wire.request()):
            pass
    assert (wire.taken, bodies.held_bytes) == (0, 0)


async def test_body_without_a_length_is_read_no_further_than_the_limit() -> None:
    bodies, wire = Bodies(10), Wire([b"123456"] * 100)
    with pytest.raises(TooLargeError):
        async with bodies.read(wire.request()):
            pass
    assert (wire.taken, bodies.held_bytes) == (2, 0)


@pytest.mark.parametrize("length", ["-1", "1e3", "", "½"])
async def test_length_that_is_no_number_is_refused(length: str) -> None:
    request = Request(
        {"type": "http", "headers": [(b"content-length", length.encode("latin-1"))]}, None
    )
    with pytest.raises(UsageError, match="Content-Length is"):
        async with Bodies(10).read(request):
            pass


@asynccontextmanager
async def held(bodies: Bodies, wires: Iterable[Wire]) -> AsyncIterator[None]:
    """The bodies that have come so far are held within the block, and none after it."""
    tasks = [asyncio.ensure_future(hold(bodies, wire.request())) for wire in wires]
    await asyncio.sleep(0)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert bodies.held_bytes == 0


async def test_bodies_together_are_bounded_by_what_comes() -> None:
    bodies = Bodies(10)
    whole = [Wire([b"1" * 10], ends=False, host=f"host-{number}") for number in range(8)]
    async with held(bodies, whole):
        assert bodies.held_bytes == 80
        for wire in (Wire([b"1"], length="1"), Wire([b"1"])):
            with pytest.raises(OverloadedError, match="Try again later") as caught:
                await hold(bodies, wire.request())
            assert caught.value.retry_after_s > 0


async def test_bodies_of_one_caller_leave_room_for_others() -> None:
    bodies = Bodies(10)
    async with held(bodies, [Wire([b"1" * 10], ends=False) for _ in range(2)]):
        for wire in (Wire([b"1"], length="1"), Wire([b"1"])):
            with pytest.raises(OverloadedError, match="bodies of your requests"):
                await hold(bodies, wire.request())
        await hold(bodies, Wire([b"1" * 10], host="other").request())


async def test_bodies_that_were_announced_and_do_not_come_keep_nobody_away() -> None:
    bodies = Bodies(10)
    async with held(bodies, [Wire([], ends=False, length="10") for _ in range(100)]):
        assert bodies.held_bytes == 0
        await hold(bodies, Wire([b"1" * 10], length="10").request())


async def hold(bodies: Bodies, request: Request) -> None:
    async with bodies.read(request):
        pass


async def test_body_that_does_not_come_is_given_up() -> None:
    bodies = Bodies(10, timeout_s=0.0)
    with pytest.raises(LateBodyError, match="did not come within 0 s"):
        await hold(bodies, Wire([], ends=False, length="5").request())
    assert bodies.held_bytes == 0


async def test_client_that_hangs_up_within_its_body_holds_nothing() -> None:
    bodies = Bodies(10)
    chunks = [b"12", b"3"]

    async def receive() -> dict[str, object]:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": True}
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "headers": [(b"content-length", b"5")]}, receive)
    with pytest.raises(ClientDisconnect):
        await hold(bodies, request)
    assert bodies.held_bytes == 0
