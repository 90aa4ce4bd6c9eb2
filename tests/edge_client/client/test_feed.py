"""Where frames come from, and when each is taken."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import perf_counter
from typing import Any

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.policy.power_rules import NO_POWER_DEMAND
from protos.names import EDGE
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames


async def test_source_that_ends_its_thread_ends_the_stream(residual_bundle: Bundle) -> None:
    def source() -> Iterator[Any]:
        yield from frames(residual_bundle, 1)
        raise SystemExit(3)

    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        results = client.stream(source())
        assert (await anext(results)).served_by is ServedBy.EDGE
        with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
            await anext(results)


@pytest.mark.parametrize("cut", [EDGE, "cut-04"])
async def test_frame_with_a_deadline_is_taken_only_once_the_device_is_done_with_those_before(
    residual_bundle: Bundle, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six frames at once, into a window of 4."""
    run_head, happened = Stages.run_head, list[str]()

    def noting(self: Stages, cut: str, inputs: Any) -> Any:
        done = run_head(self, cut, inputs)
        happened.append("head is done")
        return done

    def source() -> Iterator[Any]:
        for inputs in frames(residual_bundle, 6):
            happened.append("frame is taken")
            yield inputs

    monkeypatch.setattr(Stages, "run_head", noting)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, cut, deadline_s=60.0) as client,
    ):
        results = [each async for each in client.stream(source())]
        assert not client.control.learned.device_paced
    assert happened == ["frame is taken", "head is done"] * len(results)
    assert len(results) == 6


async def test_frames_that_the_source_brings_late_were_not_held(residual_bundle: Bundle) -> None:
    """A camera of 25 frames a second: the device is busy when the next is asked for, and not for long."""

    async def camera(period_s: float) -> AsyncIterator[Any]:
        for inputs in frames(residual_bundle, 10):
            await asyncio.sleep(period_s)
            yield inputs

    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", deadline_s=2.0) as client,
    ):
        learned = client.control.learned
        learned.begin(Link(1e6, 1e6, 0.01))
        async for _ in client.stream(camera(0.04)):
            seen = learned.conditions(perf_counter(), NO_POWER_DEMAND, reachable=True)
            assert seen.device_paced
        assert seen.frame_period_s is not None
        assert seen.frame_period_s >= 0.04
        assert not learned.device_paced
