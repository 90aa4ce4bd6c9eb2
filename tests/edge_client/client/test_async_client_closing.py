"""A client that is closed while something is under way: everything ends, and says why."""

import asyncio

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.greeting import greet
from edge_client.frames.compute_thread import ComputeThread
from partitioner.bundle.bundle import Bundle
from protos.errors import UnreachableError, UsageError
from protos.names import EDGE
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames


class Reserved(FakeCloud):
    """A cloud that never says who it is."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.asked = asyncio.Event()

    async def info(self, _request: bytes, _context: object) -> bytes:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_frames_that_greet_when_the_client_is_closed_end_with_the_reason(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 3)
    async with Reserved(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "edge")
        await client.connect()
        client.set_option("cut-04")
        calls = [asyncio.create_task(client.infer(frame)) for frame in inputs]
        await cloud.asked.wait()
        await client.close()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [UsageError] * 3
        assert all("the client was closed" in str(end) for end in ends)
        assert client._transport is not None
        assert client._transport._channel is None  # nobody has connected anew


async def test_client_that_is_closed_while_it_connects_says_so(residual_bundle: Bundle) -> None:
    async with Reserved(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "cut-04")
        connecting = asyncio.create_task(client.connect())
        await cloud.asked.wait()
        await client.close()
        with pytest.raises(UsageError, match="the client was closed"):
            await connecting


async def test_frame_that_greets_is_cancelled_by_its_caller_alone(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with Reserved(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "edge")
        await client.connect()
        client.set_option("cut-04")
        call = asyncio.create_task(client.infer(inputs))
        await cloud.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.close()


async def test_greeting_over_a_closed_channel_is_an_unreachable_server(
    residual_bundle: Bundle,
) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "edge")
        assert client._transport is not None
        channel = client._transport.channel
        await client.close()
        with pytest.raises(UnreachableError, match="is closed"):
            await greet(channel, cloud.address, residual_bundle, 1.0)


async def test_work_for_a_closed_device_fails_and_does_not_wait() -> None:
    device = ComputeThread()
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    held = asyncio.create_task(device.run(0.0, hold))
    await began.wait()
    waits = asyncio.create_task(device.run(1.0, hold))
    await asyncio.sleep(0)
    device.close()
    go_on.set()
    await held
    for late in (waits, device.run(2.0, hold)):
        with pytest.raises(UsageError, match="the client was closed"):
            await late


def test_client_that_is_closed_answers_nothing_more(residual_bundle: Bundle) -> None:
    with EdgeClient(None, residual_bundle, EDGE) as client:
        (inputs,) = frames(residual_bundle, 1)
        client.infer(inputs)
    with pytest.raises(UsageError, match="this client is closed"):
        client.infer(inputs)
