"""How many frames are in flight, and in which order their results come."""

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.feed import as_async
from edge_client.client.window import in_order
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferRequest
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, frames, whole


@pytest.mark.parametrize("window", [1, 3])
async def test_window_is_filled_and_never_exceeded(residual_bundle: Bundle, window: int) -> None:
    taken = given = most = 0
    full = asyncio.Event()

    async def answer(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        if len(cloud.requests) >= window:
            full.set()
        await full.wait()
        return await cloud.infer(header, raw)

    def source() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken, most
        for frame in frames(residual_bundle, 12):
            taken += 1
            most = max(most, taken - given)
            yield frame

    async with (
        FakeCloud(residual_bundle, answer) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03", window=window) as client,
    ):
        async for _ in client.stream(source()):
            given += 1
    # A result that is being handed on has left the window, and is not counted as given yet.
    assert window <= most <= window + 1
    assert given == 12


async def test_answers_that_overtake_each_other_come_out_in_order(residual_bundle: Bundle) -> None:
    last_done = asyncio.Event()

    async def answer(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        if header.id == "0":
            await last_done.wait()
        if header.id == "3":
            last_done.set()
        return await cloud.infer(header, raw)

    inputs = frames(residual_bundle, 4)
    async with (
        FakeCloud(residual_bundle, answer) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03", window=4) as client,
    ):
        results = [result async for result in client.stream(inputs)]
    assert [result.frame for result in results] == [0, 1, 2, 3]
    for result, frame in zip(results, inputs, strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


async def test_frames_that_fail_together_are_all_heard_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match="frame 0"):
        async for _ in in_order(as_async(range(4)), failing_together(4), 4):
            pass
    gc.collect()
    assert caplog.records == []  # else: "Task exception was never retrieved"


def failing_together(count: int) -> Callable[[int, int], Coroutine[Any, Any, None]]:
    """Frames that wait until `count` of them are there, and then all fail."""
    here, all_here = itertools.count(1), asyncio.Event()

    async def run(index: int, _frame: int) -> None:
        if next(here) == count:
            all_here.set()
        await all_here.wait()
        raise ValueError(f"frame {index}")

    return run
