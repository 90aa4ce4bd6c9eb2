"""Open loops: requests are sent when they are due, whatever became of those before them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import grpc.aio

from edge_client.cloud.stream import METHOD
from protos.names import PARAM_ERROR_CODE, PARAM_RETRY_AFTER_MS
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.wire.framing import decode_stream_response

HELD = "held by the device"
"""The outcome of a frame that an edge finishes by itself, since the server has told it to wait."""
UNANSWERED = "unanswered"
_PATIENCE_S = 1.0
"""How long clients wait for an answer."""
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(slots=True)
class Seen:
    """What became of one request: when it was due, the seconds from there to its end, and how it ended."""

    due_s: float
    lag_s: float = 0.0
    took_s: float = 0.0
    outcome: str = UNANSWERED


Ask = Callable[[list[float]], Coroutine[Any, Any, list[Seen]]]


def edges(address: str, message: bytes, devices: int) -> Ask:
    """Devices that heed the push-back of a refusal."""
    return lambda arrivals_s: _by_devices(address, message, devices, arrivals_s, heeds=True)


def greedy(address: str, message: bytes, devices: int) -> Ask:
    """Devices that send everything at once."""
    return lambda arrivals_s: _by_devices(address, message, devices, arrivals_s, heeds=False)


def unary(address: str, message: bytes, devices: int) -> Ask:
    """Calls with a deadline over as many connections as there are devices."""
    return lambda arrivals_s: _by_calls(address, message, devices, arrivals_s)


class _Device:
    """One stream of requests, which are told apart by their ids."""

    def __init__(self, address: str, message: bytes, *, heeds: bool) -> None:
        self._message, self._heeds = message, heeds
        options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._stream: Any = self._channel.stream_stream(METHOD)()
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue()
        self._ids = count()
        self._pending: dict[str, tuple[Seen, float]] = {}
        self._again_at = 0.0
        self._tasks = [asyncio.create_task(each) for each in (self._write(), self._read())]

    def ask(self, seen: Seen, due_at: float) -> None:
        """Send a request; an id is put behind the message, where protobuf takes the last that it finds."""
        if self._heeds and time.perf_counter() < self._again_at:
            seen.outcome = HELD
            return
        name = str(next(self._ids))
        self._pending[name] = (seen, due_at)
        self._unsent.put_nowait(self._message + bytes((0x1A, len(name))) + name.encode())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stream.cancel()
        await self._channel.close()

    async def _write(self) -> None:
        while True:
            await self._stream.write(await self._unsent.get())

    async def _read(self) -> None:
        while (data := await self._stream.read()) is not grpc.aio.EOF:
            now = time.perf_counter()
            error, header, _ = decode_stream_response(data)
            seen, due_at = self._pending.pop(header.id)
            seen.took_s = now - due_at
            seen.outcome = header.parameters[PARAM_ERROR_CODE].string_param if error else "OK"
            if PARAM_RETRY_AFTER_MS in header.parameters:
                self._again_at = now + header.parameters[PARAM_RETRY_AFTER_MS].int64_param / 1e3


async def _by_devices(
    address: str, message: bytes, devices: int, arrivals_s: list[float], *, heeds: bool
) -> list[Seen]:
    asked = [_Device(address, message, heeds=heeds) for _ in range(devices)]
    turns = count()
    seen = await _when_due(arrivals_s, lambda *one: asked[next(turns) % devices].ask(*one))
    await asyncio.sleep(_PATIENCE_S)
    await asyncio.gather(*(device.close() for device in asked))
    return seen


async def _by_calls(
    address: str, message: bytes, connections: int, arrivals_s: list[float]
) -> list[Seen]:
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
    methods: list[Any] = [channel.unary_unary(_INFER) for channel in channels]
    turns, calls = count(), set[asyncio.Task[None]]()

    async def call(seen: Seen, due_at: float) -> None:
        try:
            await methods[next(turns) % connections](message, timeout=_PATIENCE_S)
            seen.outcome = "OK"
        except grpc.aio.AioRpcError as error:
            seen.outcome = error.code().name
        seen.took_s = time.perf_counter() - due_at

    def begin(seen: Seen, due_at: float) -> None:
        task = asyncio.create_task(call(seen, due_at))
        calls.add(task)
        task.add_done_callback(calls.discard)

    seen = await _when_due(arrivals_s, begin)
    await asyncio.gather(*calls)
    for channel in channels:
        await channel.close()
    return seen


async def _when_due(arrivals_s: list[float], ask: Callable[[Seen, float], None]) -> list[Seen]:
    """Call `ask` for each arrival at its time; what is due by then goes out together."""
    begun_at, seen = time.perf_counter(), []
    for due_s in arrivals_s:
        if (early_s := begun_at + due_s - time.perf_counter()) > 0:
            await asyncio.sleep(early_s)
        one = Seen(due_s)
        one.lag_s = time.perf_counter() - begun_at - due_s
        seen.append(one)
        ask(one, begun_at + due_s)
    return seen
