"""The edge's numbers as Prometheus reads them."""

import asyncio
import urllib.request
from typing import Any

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control.cloud_watch import LookCounts
from edge_client.telemetry.metrics_page import shown_metrics
from edge_client.telemetry.observer import Observer
from partitioner.bundle.bundle import Bundle
from protos.errors import UsageError
from tests.kit.cloud_calls import TIMEOUT_S
from tests.kit.observations import families, result


async def test_metrics_of_the_edge_are_prometheus(
    residual_bundle: Bundle, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AsyncEdgeClient, "looks", LookCounts(3, 5, 9_000))
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        observer = Observer(client, "cam-1")
        for seconds in (0.003, 0.02, 7.0):
            observer.add(result(seconds))
        counts = client.hedges
        counts.device_first, counts.cloud_first, counts.dropped_s = 4, 2, 0.5
        counts.unused_answers, counts.unused_cloud_s = 3, 0.25
        with shown_metrics("127.0.0.1:0", observer):
            where = capsys.readouterr().err.split()[-1]

            def read() -> str:
                with urllib.request.urlopen(where, timeout=TIMEOUT_S) as page:
                    return str(page.read().decode())

            text = await asyncio.to_thread(read)
            busy = where.removeprefix("http://").removesuffix("/metrics")
            with pytest.raises(UsageError, match=r"cannot listen on .*Choose another `metrics`"):
                shown_metrics(busy, observer).__enter__()
    found = families(text)
    assert found["splitpoint_edge_frames_total"] == {("cloud",): 3}
    assert found["splitpoint_edge_upload_bytes_total"] == {(): 300}
    assert found["splitpoint_edge_stage_seconds_count"][("latency",)] == 3
    assert found["splitpoint_edge_stage_seconds_sum"][("latency",)] == pytest.approx(7.023)
    buckets = found["splitpoint_edge_stage_seconds_bucket"]
    # An upper end belongs to its bucket: 20 ms is not above 0.02.
    assert [buckets[(le, "latency")] for le in ("0.002", "0.005", "0.02", "5.0", "+Inf")] == [
        0, 1, 2, 2, 3,
    ]  # fmt: skip
    assert found["splitpoint_edge_hedges_total"] == {("device",): 4, ("cloud",): 2}
    assert found["splitpoint_edge_hedge_dropped_seconds_total"] == {(): 0.5}
    assert found["splitpoint_edge_hedge_unused_answers_total"] == {(): 3}
    assert found["splitpoint_edge_hedge_unused_cloud_seconds_total"] == {(): 0.25}
    assert found["splitpoint_edge_looks_total"] == {("frame",): 3, ("probe",): 5}
    assert found["splitpoint_edge_look_bytes_total"] == {(): 9_000}
    assert found["splitpoint_edge_cut"] == {("edge",): 1}
    assert found["splitpoint_edge_health"] == {("healthy",): 1, ("degraded",): 0, ("offline",): 0}
    assert 'edge="cam-1"' in text
