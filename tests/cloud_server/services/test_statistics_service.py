"""ModelStatistics: what clients ask for adds up to what they asked."""

import pytest

from cloud_server.models.version import Version
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferRequest, ModelStatistics, ModelStatisticsRequest
from tests.kit.cloud_calls import (
    TIMEOUT_S,
    Gate,
    connected,
    crossing,
    oip_stub,
    refused,
    request_for,
    stream_all,
)


def statistics(stub: object, name: str = "", version: str = "") -> list[ModelStatistics]:
    request = ModelStatisticsRequest(name=name, version=version)
    return list(stub.ModelStatistics(request, timeout=TIMEOUT_S).model_stats)  # type: ignore[attr-defined]


def test_requests_rows_executions_and_failures_add_up(residual_bundle: Bundle) -> None:
    def request(batch: int, frame_id: str = "") -> ModelInferRequest:
        values = crossing(residual_bundle, "cloud", batch=batch)
        return request_for(residual_bundle, "cloud", values, frame_id=frame_id)

    bad = request(1)
    bad.raw_input_contents[0] = b"1"
    with CloudServer(residual_bundle.path) as server, connected(server.address) as channel:
        stub = oip_stub(channel)
        for batch in (1, 3, 3):
            stub.ModelInfer(request(batch), timeout=TIMEOUT_S)
        stream_all(channel, [request(1, str(n)).SerializeToString() for n in range(4)])
        assert refused(lambda: stub.ModelInfer(bad, timeout=TIMEOUT_S))[0] == "INVALID_ARGUMENT"
        lost = ModelInferRequest(model_name="nowhere")
        assert refused(lambda: stub.ModelInfer(lost, timeout=TIMEOUT_S))[0] == "NOT_FOUND"
        found, *others = statistics(stub, "residual")
        assert not others
        everything = {each.name: each for each in statistics(stub)}
        assert set(everything) == set(server.store.models)
        code, sentence = refused(lambda: statistics(stub, "nowhere"))
        assert (code, "It has: residual" in sentence) == ("NOT_FOUND", True)
        assert refused(lambda: statistics(stub, "residual", "7"))[0] == "NOT_FOUND"

    assert (found.name, found.version) == ("residual", Version.of(residual_bundle).number)
    assert found.inference_count == 1 + 3 + 3 + 4
    assert found.execution_count == 7
    stages = found.inference_stats
    assert (stages.success.count, stages.fail.count) == (7, 1)
    assert {batch.batch_size: batch.compute_infer.count for batch in found.batch_stats} == {
        1: 5,
        3: 2,
    }
    parts = (stages.queue, stages.compute_input, stages.compute_infer, stages.compute_output)
    assert [part.count for part in parts] == [7] * 4
    # A stage is within its request, and stages are one after another.
    assert 0 < sum(part.ns for part in parts) <= stages.success.ns
    assert sum(batch.compute_infer.ns for batch in found.batch_stats) == stages.compute_infer.ns
    assert found.last_inference > 1_600_000_000_000  # milliseconds since 1970
    idle = everything["residual.cut-01"]
    assert (idle.inference_count, idle.last_inference) == (0, 0)


def test_request_that_its_caller_gave_up_counts_as_failed_once(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with CloudServer(residual_bundle.path, workers=1) as server:
        with connected(server.address) as channel:
            stub = oip_stub(channel)
            call = stub.ModelInfer.future(request, timeout=TIMEOUT_S)
            assert gate.entered.acquire(timeout=TIMEOUT_S)
            call.cancel()
            gate.opened.set()
            # One worker: the next answer comes after whatever the first has left behind.
            stub.ModelInfer(request, timeout=TIMEOUT_S)
            (found,) = statistics(stub, "residual")
        stages = found.inference_stats
        assert stages.success.count + stages.fail.count == 2
