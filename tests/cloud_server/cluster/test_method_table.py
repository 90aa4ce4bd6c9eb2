"""Our methods without a server of gRPC, called as Serve calls them."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from cloud_server.cluster.method_table import MethodTable
from cloud_server.cluster.proxy_methods import HEALTH
from cloud_server.engine.engine_parts import EngineParts
from cloud_server.engine_options import EngineOptions
from partitioner.bundle.bundle import Bundle
from protos import inference_pb2 as oip
from protos.serving.drain import Drain
from protos.serving.health import HealthService, add_health
from protos.serving.inference import SERVICE, InferenceService
from protos.serving.message_guard import GuardedServer
from tests.kit.cloud_calls import crossing, outputs_of, request_for, uncut
from tests.kit.frames import crossing_cuts
from tests.kit.serve_proxy import ServeContext


@pytest.fixture
async def parts(residual_bundle: Bundle) -> AsyncIterator[EngineParts]:
    found = EngineParts.of(EngineOptions(residual_bundle.path, workers=1))
    await found.offer(())
    yield found
    found.close()


def table_of(parts: EngineParts, max_message_bytes: int = 1 << 20) -> MethodTable:
    table = MethodTable(max_message_bytes)
    guarded = GuardedServer(table)  # type: ignore[arg-type]
    service = InferenceService(parts.store, parts.engine, Drain(), 1, ())
    guarded.add_generic_rpc_handlers([service.handlers()])
    return table


async def called(
    table: MethodTable, method: str, request: Any, context: ServeContext | None = None
) -> bytes:
    data = request if isinstance(request, bytes) else request.SerializeToString()
    answer = await table.answer(f"/{SERVICE}/{method}", data, context or ServeContext())
    return answer.SerializeToString()


async def test_tail_answers_as_the_whole_model_does(
    parts: EngineParts, residual_bundle: Bundle
) -> None:
    cut = crossing_cuts(residual_bundle)[0]
    request = request_for(residual_bundle, cut, crossing(residual_bundle, cut), frame_id="7")
    found = oip.ModelInferResponse.FromString(await called(table_of(parts), "ModelInfer", request))
    assert found.id == "7"
    for name, value in uncut(residual_bundle).items():
        np.testing.assert_allclose(outputs_of(found)[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "request_", "code", "sentence"),
    [
        ("ModelInfer", oip.ModelInferRequest(model_name="x"), "NOT_FOUND", "has no model 'x'"),
        ("ModelMetadata", oip.ModelMetadataRequest(name="x"), "NOT_FOUND", "has no model 'x'"),
        ("ModelMetadata", b"\xff", "INVALID_ARGUMENT", "are no request of /inference"),
        ("ModelInfer", bytes(1025), "OUT_OF_RANGE", "1,025 bytes, and 1,024 are allowed"),
        ("Nothing", b"", "NOT_FOUND", "no method /inference"),
    ],
)
async def test_refusal_is_a_status_on_the_call_and_no_error(
    parts: EngineParts, method: str, request_: Any, code: str, sentence: str
) -> None:
    context = ServeContext()
    assert await called(table_of(parts, 1024), method, request_, context) == b""
    assert context.code is grpc.StatusCode[code]
    assert sentence in context.details


async def test_engine_that_has_closed_sends_callers_elsewhere(parts: EngineParts) -> None:
    parts.engine.close()
    context = ServeContext()
    await called(table_of(parts), "ModelInfer", oip.ModelInferRequest(), context)
    assert context.code is grpc.StatusCode.UNAVAILABLE


async def test_health_is_told_once_it_is_announced() -> None:
    table, health = MethodTable(1 << 10), HealthService((SERVICE,), Drain())
    add_health(GuardedServer(table), health)  # type: ignore[arg-type]
    asked = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()
    context = ServeContext()
    await table.answer(f"/{HEALTH}/Check", asked, context)
    assert context.code is grpc.StatusCode.NOT_FOUND
    await health.announce()
    answer = await table.answer(f"/{HEALTH}/Check", asked, ServeContext())
    found = health_pb2.HealthCheckResponse.FromString(answer.SerializeToString())
    assert found.status == health_pb2.HealthCheckResponse.SERVING
