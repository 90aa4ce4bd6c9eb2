"""The edge's local server: any client of the protocol uses the split model as if it were here."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, ServedBy
from edge_client.telemetry.health import Health
from partitioner.bundle.bundle import Bundle
from protos.errors import UsageError
from protos.inference_pb2 import (
    ModelConfigRequest,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelReadyRequest,
    ServerLiveRequest,
    ServerMetadataRequest,
    ServerReadyRequest,
)
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.names import PARAM_ERROR_CODE
from protos.wire.checksums import seal
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import STREAM, TIMEOUT_S, outputs_of
from tests.kit.exit_models import answer_of_exit, colours, exit_cuts, without_exits
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, frames, whole
from tests.kit.local_calls import CUT, agrees, refusal, request_of, serving
from tests.kit.triton_client import run_client

FRAMES, LABELS = colours(12, seed=3)
STAGES = ("latency_ns", "edge_ns", "network_ns", "queue_ns", "cloud_ns", "wait_ns")


class HeldCloud(FakeCloud):
    """A cloud that answers nothing until it is let."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, self._hold)
        self.asked, self.let = asyncio.Semaphore(0), asyncio.Event()

    async def _hold(self, header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        self.asked.release()
        await self.let.wait()
        return await self.infer(header, raw)


async def test_triton_client_uses_the_split_model_as_if_it_were_local(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    pytest.importorskip("tritonclient.grpc")
    (inputs,) = frames(residual_bundle, 1)
    with CloudServer(residual_bundle.path) as cloud:
        async with serving(residual_bundle, cloud.address) as (_, server):
            found = await asyncio.to_thread(
                run_client, server.address, residual_bundle.name, inputs, tmp_path
            )
    assert (found["live"], found["ready"], found["server"]) == (True, True, "splitpoint")
    assert found["inputs"] == [spec.name for spec in residual_bundle.inputs]
    assert found["outputs"] == [spec.name for spec in residual_bundle.outputs]
    with np.load(tmp_path / "got.npz") as got:
        for shift in range(4):
            shifted = {name: array + np.float32(shift) for name, array in inputs.items()}
            (wanted,) = whole(residual_bundle, shifted).values()
            np.testing.assert_allclose(got[f"stream{shift}"], wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got["infer"], got["stream0"])
    parameters = found["parameters"]
    assert (parameters["served_by"], parameters["cut"], parameters["codec"]) == (
        "cloud",
        CUT,
        "raw",
    )
    assert parameters["reason"] == "chosen by the caller"
    assert all(int(parameters[stage]) >= 0 for stage in STAGES)
    stages = sum(int(parameters[stage]) for stage in STAGES[1:])
    assert stages == pytest.approx(int(parameters["latency_ns"]), abs=10)
    assert "this edge has no model 'nowhere'. It serves 'residual'" in found["errors"][0]
    assert found["unknown"][0] == "StatusCode.NOT_FOUND"


async def test_concurrent_callers_share_the_one_stream_to_the_cloud(
    residual_bundle: Bundle,
) -> None:
    sent = frames(residual_bundle, 12)
    heard: list[tuple[int, str]] = []

    def note(result: Result, request_id: str) -> None:
        heard.append((result.frame, request_id))

    async with (
        FakeCloud(residual_bundle) as cloud,
        serving(residual_bundle, cloud.address, on_result=note) as (first, server),
        grpc.aio.insecure_channel(
            server.address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel,
    ):
        second = GRPCInferenceServiceStub(channel)
        answers = await asyncio.gather(
            *(
                (first, second)[number % 2].ModelInfer(
                    request_of(residual_bundle, inputs, f"r{number}"), timeout=TIMEOUT_S
                )
                for number, inputs in enumerate(sent)
            )
        )
    for number, (inputs, answer) in enumerate(zip(sent, answers, strict=True)):
        assert answer.id == f"r{number}"
        agrees(answer, residual_bundle, inputs)
    assert cloud.streams == 1
    assert sorted(heard) == sorted(set(heard))
    assert {frame for frame, _ in heard} == set(range(12))


async def test_batch_and_typed_contents_are_taken(residual_bundle: Bundle) -> None:
    (spec,) = residual_bundle.inputs
    values = np.random.default_rng(3).standard_normal(spec.sized(3)).astype(np.float32)
    request = ModelInferRequest(model_name=residual_bundle.name)
    tensor = request.inputs.add(name=spec.name, datatype="FP32", shape=values.shape)
    tensor.contents.fp32_contents.extend(values.ravel().tolist())
    async with serving(residual_bundle, None, "edge") as (stub, _):
        answer = await stub.ModelInfer(request, timeout=TIMEOUT_S)
    agrees(answer, residual_bundle, {spec.name: values})
    assert answer.parameters["served_by"].string_param == "edge"


async def test_frames_are_answered_without_a_cloud_and_say_so(
    residual_bundle: Bundle, nobody: str
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with serving(residual_bundle, nobody) as (stub, _):
        answer = await stub.ModelInfer(request_of(residual_bundle, inputs), timeout=TIMEOUT_S)
    agrees(answer, residual_bundle, inputs)
    assert answer.parameters["served_by"].string_param == "edge"
    assert answer.parameters["reason"].string_param.startswith("cloud unreachable: ")


async def test_bad_requests_get_the_status_and_a_sentence(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    (spec,) = residual_bundle.inputs

    def changed(change: Any) -> ModelInferRequest:
        request = request_of(residual_bundle, inputs)
        change(request)
        return request

    def damaged(request: ModelInferRequest) -> None:
        seal(request, request.raw_input_contents)
        request.raw_input_contents[0] = bytes([*request.raw_input_contents[0][:-1], 1])

    def another_digest(request: ModelInferRequest) -> None:
        request.parameters["bundle_digest"].string_param = "00"

    wrong = {
        "NOT_FOUND: this edge has no model 'other'": lambda r: setattr(r, "model_name", "other"),
        "NOT_FOUND: model 'residual' has no version '7'": lambda r: setattr(
            r, "model_version", "7"
        ),
        "INVALID_ARGUMENT: tensor": lambda r: r.inputs[0].shape.append(1),
        "INVALID_ARGUMENT: model 'residual' was sent the inputs ['y']": (
            lambda r: setattr(r.inputs[0], "name", "y")
        ),
        "INVALID_ARGUMENT: model 'residual' has no output 'depth'": (
            lambda r: r.outputs.add(name="depth")
        ),
        "INTERNAL: the message was damaged on its way": damaged,
        "FAILED_PRECONDITION: the edge's bundle 'residual' has the digest 00": another_digest,
        "RESOURCE_EXHAUSTED: ": lambda r: r.raw_input_contents.append(bytes(1 << 16)),
    }
    assert spec.name != "y"
    async with serving(residual_bundle, None, "edge", max_message_bytes=1 << 15) as (stub, _):
        for expected, change in wrong.items():
            call = stub.ModelInfer(changed(change), timeout=TIMEOUT_S)
            code, sentence = await refusal(call)
            assert f"{code}: {sentence}".startswith(expected)
        unknown = ModelMetadataRequest(name="other")
        assert (await refusal(stub.ModelMetadata(unknown, timeout=TIMEOUT_S)))[0] == "NOT_FOUND"
        # And none of that has hurt anybody.
        answer = await stub.ModelInfer(request_of(residual_bundle, inputs), timeout=TIMEOUT_S)
        agrees(answer, residual_bundle, inputs)


async def test_full_edge_refuses_on_calls_and_on_streams(residual_bundle: Bundle) -> None:
    first, second = frames(residual_bundle, 2)
    async with (
        HeldCloud(residual_bundle) as cloud,
        serving(residual_bundle, cloud.address, max_queue=1) as (stub, server),
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        held = stub.ModelInfer(request_of(residual_bundle, first), timeout=TIMEOUT_S)
        waiting = asyncio.ensure_future(_answer_of(held))
        await asyncio.wait_for(cloud.asked.acquire(), TIMEOUT_S)
        call = stub.ModelInfer(request_of(residual_bundle, second), timeout=TIMEOUT_S)
        code, sentence = await refusal(call)
        assert (code, sentence.split(".")[0]) == (
            "RESOURCE_EXHAUSTED",
            "this edge has 1 request waiting, and takes no more",
        )
        stream = channel.stream_stream(STREAM)(timeout=TIMEOUT_S)
        await stream.write(request_of(residual_bundle, second, "s").SerializeToString())
        message, header, _ = decode_stream_response(await stream.read())
        assert message == sentence
        assert header.id == "s"
        assert header.parameters[PARAM_ERROR_CODE].string_param == "RESOURCE_EXHAUSTED"
        stream.cancel()
        cloud.let.set()
        agrees(await waiting, residual_bundle, first)


async def _answer_of(call: Any) -> ModelInferResponse:
    answer: ModelInferResponse = await call
    return answer


async def test_deadline_that_nobody_meets_is_a_status_and_still_a_result(
    residual_bundle: Bundle,
) -> None:
    heard: list[ServedBy] = []
    options = {"deadline_s": 1e-6}
    (inputs,) = frames(residual_bundle, 1)
    async with serving(
        residual_bundle, None, "edge", options, on_result=lambda r, _: heard.append(r.served_by)
    ) as (stub, _):
        call = stub.ModelInfer(request_of(residual_bundle, inputs), timeout=TIMEOUT_S)
        code, sentence = await refusal(call)
    assert code == "DEADLINE_EXCEEDED"
    assert "deadline" in sentence
    assert heard == [ServedBy.NONE]


async def test_drain_answers_what_is_in_flight_and_takes_no_more(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        HeldCloud(residual_bundle) as cloud,
        serving(residual_bundle, cloud.address) as (stub, server),
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = stub.ModelInfer(request_of(residual_bundle, inputs), timeout=TIMEOUT_S)
        waiting = asyncio.ensure_future(_answer_of(call))
        await asyncio.wait_for(cloud.asked.acquire(), TIMEOUT_S)
        stopping = asyncio.ensure_future(server.stop(TIMEOUT_S))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        cloud.let.set()
        agrees(await waiting, residual_bundle, inputs)
        await asyncio.wait_for(stopping, TIMEOUT_S)
        with pytest.raises(UsageError, match="not running"):
            _ = server.address


async def test_health_is_in_answers_and_the_cloud_has_one_of_its_own(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    health = Health.HEALTHY
    async with (
        serving(residual_bundle, None, "edge", health=lambda: health) as (stub, server),
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        check = health_pb2_grpc.HealthStub(channel).Check
        for health, word in (
            (Health.HEALTHY, "SERVING"),
            (Health.DEGRADED, "SERVING"),
            (Health.OFFLINE, "NOT_SERVING"),
        ):
            await server.show_health()
            answer = await stub.ModelInfer(request_of(residual_bundle, inputs), timeout=TIMEOUT_S)
            assert answer.parameters["health"].string_param == health.value
            for service, wanted in (("splitpoint.cloud", word), ("", "SERVING")):
                found = await check(health_pb2.HealthCheckRequest(service=service))
                assert found.status == getattr(health_pb2.HealthCheckResponse, wanted)


async def test_other_methods_health_and_reflection(residual_bundle: Bundle) -> None:
    name = residual_bundle.name
    async with (
        serving(residual_bundle, None, "edge") as (stub, server),
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        assert (await stub.ServerLive(ServerLiveRequest())).live
        assert (await stub.ServerReady(ServerReadyRequest())).ready
        assert (await stub.ModelReady(ModelReadyRequest(name=name))).ready
        assert not (await stub.ModelReady(ModelReadyRequest(name=f"{name}.{CUT}"))).ready
        metadata = await stub.ServerMetadata(ServerMetadataRequest())
        assert list(metadata.extensions) == [
            "model_stream_infer", "model_configuration", "splitpoint_served_by"
        ]  # fmt: skip
        config = (await stub.ModelConfig(ModelConfigRequest(name=name))).config
        assert (config.name, config.backend) == (name, "onnxruntime")
        assert [(one.name, list(one.dims)) for one in config.input] == [("x", [-1, 3, 32, 32])]
        model = await stub.ModelMetadata(ModelMetadataRequest(name=name))
        assert [list(t.shape) for t in model.inputs] == [[-1, 3, 32, 32]]
        service = "inference.GRPCInferenceService"
        check = health_pb2_grpc.HealthStub(channel).Check
        found = await check(health_pb2.HealthCheckRequest(service=service))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await ask.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await ask.read()).list_services_response.service
        assert service in {entry.name for entry in listed}
        assert "splitpoint.v1.Splitpoint" not in {entry.name for entry in listed}
        ask.cancel()


async def test_another_edge_can_take_this_one_for_its_cloud(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        serving(residual_bundle, None, "edge") as (_, server),
        AsyncEdgeClient(server.address, residual_bundle, "cloud") as outer,
    ):
        result = await outer.infer(inputs)
    assert result.served_by is ServedBy.CLOUD
    for name, wanted in whole(residual_bundle, inputs).items():
        np.testing.assert_allclose(result.outputs[name], wanted, rtol=1e-4, atol=1e-5)


async def test_programs_on_the_device_get_the_exits_answer_or_an_error(
    held: Bundle, nobody: str
) -> None:
    cut = exit_cuts(held)[0]
    request = request_of(held, {"x": FRAMES[:1]})
    async with serving(held, nobody, cut) as (stub, _):
        answer = await stub.ModelInfer(request, timeout=TIMEOUT_S)
    assert answer.parameters["served_by"].string_param == "exit"
    assert_same(outputs_of(answer), answer_of_exit(held, cut, FRAMES[0])[0])
    bare = without_exits(held, *exit_cuts(held))
    async with serving(bare, nobody, cut) as (stub, _):
        code, sentence = await refusal(stub.ModelInfer(request, timeout=TIMEOUT_S))
    assert code == "UNAVAILABLE"
    assert "nothing here can answer" in sentence
