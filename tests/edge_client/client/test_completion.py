"""When the cloud fails: what is raised, what is finished here, and what comes back."""

import asyncio
from collections.abc import Callable

import grpc
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud import stream
from edge_client.cloud.transport import GrpcTransport
from edge_client.frames.choice import choose
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import (
    BundleError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    TensorError,
    TooLargeError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import EDGE, PARAM_QUEUE_NS
from protos.wire.framing import encode_stream_response
from protos.wire.messages import pack_response, unpack_request
from tests.kit.clients import look_again
from tests.kit.fake_cloud import Answer, FakeCloud, answering, silence
from tests.kit.frames import assert_same, frames, whole
from tests.kit.sockets import free_port


def test_nobody_at_the_address_is_said_with_what_to_do(
    residual_bundle: Bundle, nobody: str
) -> None:
    with pytest.raises(
        UnreachableError, match=f"no cloud server answers at {nobody}.*splitpoint-cloud serve"
    ):
        EdgeClient(nobody, residual_bundle, "cut-01", on_failure="fail")


async def test_start_without_a_cloud_finishes_frames_here_until_it_comes(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with AsyncEdgeClient(address, residual_bundle, "cut-04") as client:
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert result.reason.startswith(f"cloud unreachable: no cloud server answers at {address}")
        assert client.server is None
        assert client.fallbacks == {"cloud unreachable": 1}
        async with FakeCloud(residual_bundle, port=port):
            await look_again(client)
            assert client.server is not None
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
            assert client.trouble is None


async def test_another_bundle_of_that_name_is_refused_with_both_digests(
    residual_bundle: Bundle,
) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.digest = "f00d" * 16
        with pytest.raises(MismatchError, match="f00df00df00d…") as caught:
            await AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", strict=True).connect()
    assert residual_bundle.digest[:12] in str(caught.value)
    replacing = f"--cloud {cloud.address} --out {residual_bundle.path} --force."
    assert f"splitpoint-edge fetch residual {replacing}" in str(caught.value)


async def test_strict_edge_compares_bundles_also_where_it_serves_alone(
    residual_bundle: Bundle,
) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        async with AsyncEdgeClient(cloud.address, residual_bundle, EDGE, strict=True) as client:
            assert client.server is not None
        cloud.digest = "f00d" * 16
        with pytest.raises(MismatchError, match="f00df00df00d…"):
            await AsyncEdgeClient(cloud.address, residual_bundle, EDGE, strict=True).connect()
    with pytest.raises(UsageError, match="`strict` needs a server"):
        AsyncEdgeClient(None, residual_bundle, EDGE, strict=True)


async def test_bundle_that_the_server_lacks_is_named(residual_bundle: Bundle) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.name = "another"
        with pytest.raises(
            UnknownNameError, match="no bundle 'residual' for this device. It has: another"
        ):
            await AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", strict=True).connect()


def other_version(cloud: FakeCloud) -> None:
    cloud.digest = "f00d" * 16


def other_name(cloud: FakeCloud) -> None:
    cloud.name = "another"


@pytest.mark.parametrize(
    ("turn", "absence"),
    [
        (other_version, "the cloud has another version of this bundle"),
        (other_name, "the cloud does not have this bundle"),
    ],
)
@pytest.mark.parametrize("cut", ["cut-04", "auto"])
async def test_start_without_the_right_bundle_is_served_here_until_the_server_has_it(
    residual_bundle: Bundle, turn: Callable[[FakeCloud], None], absence: str, cut: str
) -> None:
    inputs = frames(residual_bundle, 2)
    async with FakeCloud(residual_bundle) as cloud:
        turn(cloud)
        async with AsyncEdgeClient(cloud.address, residual_bundle, cut, adapt=False) as client:
            assert (client.cloud_is_away, client.absence) == (True, absence)
            alone = await client.infer(inputs[0])
            assert alone.served_by is ServedBy.EDGE
            assert alone.reason.startswith(absence if cut == "auto" else "cloud ")
            if cut == "auto":
                return  # it would measure now
            cloud.digest, cloud.name = residual_bundle.digest, residual_bundle.name
            await look_again(client)
            assert (await client.infer(inputs[1])).served_by is ServedBy.CLOUD


async def test_reason_to_stay_alone_is_what_keeps_frames_from_the_cloud_now(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 2)
    async with FakeCloud(residual_bundle) as cloud:
        other_version(cloud)
        async with AsyncEdgeClient(cloud.address, residual_bundle, adapt=False) as client:
            assert (await client.infer(inputs[0])).reason.endswith("another version of this bundle")
            cloud.digest = residual_bundle.digest
            other_name(cloud)
            await look_again(client)
            assert client.choice.reason == "the cloud does not have this bundle"
            assert (await client.infer(inputs[1])).reason == client.choice.reason


async def test_standard_server_without_our_service_serves_tails(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with FakeCloud(residual_bundle) as cloud:
        cloud.greets = False
        async with AsyncEdgeClient(cloud.address, residual_bundle, "cut-01") as client:
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


FAILURES = [
    (grpc.StatusCode.UNAVAILABLE, UnreachableError, "cloud unreachable"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, OverloadedError, "cloud overloaded"),
    (grpc.StatusCode.DEADLINE_EXCEEDED, LateError, "cloud too slow"),
    (grpc.StatusCode.INTERNAL, FaultError, "cloud failed"),
    (grpc.StatusCode.FAILED_PRECONDITION, MismatchError, "cloud has another bundle"),
    (grpc.StatusCode.NOT_FOUND, UnknownNameError, "cloud lacks this model"),
    (grpc.StatusCode.INVALID_ARGUMENT, TensorError, "cloud refused the tensors"),
    (grpc.StatusCode.OUT_OF_RANGE, TooLargeError, "message too large"),
    (grpc.StatusCode.DATA_LOSS, BundleError, "cloud cannot load its bundle"),
]


@pytest.mark.parametrize(("code", "_kind", "reason"), FAILURES)
async def test_frame_is_finished_here_from_the_frontier_when_the_cloud_fails(
    residual_bundle: Bundle, code: grpc.StatusCode, _kind: type, reason: str
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, answering(code, "not now.")) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert result.reason.startswith(f"{reason}: not now.")
    assert result.cut == "cut-04"
    assert_same(result.outputs, whole(residual_bundle, inputs))


async def test_overloaded_cloud_is_not_asked_before_it_takes_more(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 3)
    full = answering(grpc.StatusCode.RESOURCE_EXHAUSTED, "full.", retry_after_ms=60_000)
    async with (
        FakeCloud(residual_bundle, full) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        results = [await client.infer(each) for each in inputs]
        assert len(cloud.requests) == 1
        assert not client.cloud_is_away  # it is there, and nobody probes it
    assert [result.served_by for result in results] == [ServedBy.EDGE] * 3
    assert all(result.reason.startswith("cloud overloaded: full.") for result in results)


@pytest.mark.parametrize(("code", "kind", "_reason"), FAILURES)
async def test_frame_fails_when_told_to(
    residual_bundle: Bundle, code: grpc.StatusCode, kind: type[Exception], _reason: str
) -> None:
    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle, answering(code, "not now.")) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", on_failure="fail") as client,
    ):
        with pytest.raises(kind, match=r"not now\."):
            await client.infer(inputs[0])
        results = [r async for r in client.stream(inputs, on_error="result")]
        with pytest.raises(kind):
            async for _ in client.stream(inputs):
                pass
    assert [result.served_by for result in results] == [ServedBy.NONE] * 2
    assert all(isinstance(result.error, kind) for result in results)


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND])
async def test_reason_says_what_to_do_when_the_server_has_other_bundles_by_now(
    residual_bundle: Bundle, code: grpc.StatusCode
) -> None:
    async with (
        FakeCloud(residual_bundle, answering(code, "not mine.")) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        results = [result async for result in client.stream(frames(residual_bundle, 3))]
    assert [result.served_by for result in results] == [ServedBy.EDGE] * 3
    assert all("splitpoint-edge fetch residual --cloud" in result.reason for result in results)


async def test_frames_of_a_cut_that_moves_to_a_server_of_another_bundle_are_finished_here(
    residual_bundle: Bundle,
) -> None:
    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "edge") as client,
    ):
        cloud.digest = "f00d" * 16
        client.set_option("cut-04")
        results = [result async for result in client.stream(inputs)]
        assert cloud.requests == []
        cloud.digest = residual_bundle.digest
        await look_again(client)
        assert (await client.infer(inputs[0])).served_by is ServedBy.CLOUD
    for result, frame in zip(results, inputs, strict=True):
        assert result.reason.startswith("cloud has another bundle: the server at")
        assert result.upload_bytes == 0
        assert_same(result.outputs, whole(residual_bundle, frame))


async def test_request_that_never_left_counts_no_bytes(
    residual_bundle: Bundle, nobody: str
) -> None:
    inputs = frames(residual_bundle, 3)
    async with (
        FakeCloud(residual_bundle, answering(grpc.StatusCode.INTERNAL, "no.")) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        assert (await client.infer(inputs[0])).upload_bytes > 0  # it went there, and was refused
        await look_again(client)
        gone, client.version.completion._transport = client._transport, GrpcTransport(nobody)
        results = [result async for result in client.stream(inputs)]
        assert gone is not None
        await gone.close()
    assert results[0].reason.startswith("cloud unreachable: the stream to")
    assert [(result.served_by, result.upload_bytes) for result in results] == [
        (ServedBy.EDGE, 0)
    ] * 3


async def test_silent_cloud_costs_the_timeout_and_the_frame_is_finished_here(
    residual_bundle: Bundle,
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, silence) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04", timeout_s=0.05) as client,
    ):
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert result.reason.startswith("cloud too slow: no answer from 127.0.0.1")
        assert result.timings.network_s >= 0.05
        cloud.answer = cloud.infer  # and it comes back
        client.timeout_s = 10.0
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_broken_stream_fails_what_is_in_flight_and_the_next_request_opens_another(
    residual_bundle: Bundle,
) -> None:
    both_came = asyncio.Event()

    async def hold(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        if len(cloud.requests) == 2:
            both_came.set()
        return None

    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle, hold) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        calls = [asyncio.create_task(client.infer(frame)) for frame in inputs]
        await both_came.wait()
        cloud.end_streams()
        for result in await asyncio.gather(*calls):
            assert result.reason.startswith("cloud unreachable: the stream to")
        cloud.answer = cloud.infer
        assert (await client.infer(inputs[0])).served_by is ServedBy.CLOUD
        assert cloud.streams == 2


async def test_server_that_goes_away_costs_no_frame(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 4)
    async with FakeCloud(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "cut-04")
        first = await client.infer(inputs[0])
    results = [result async for result in client.stream(inputs[1:])]
    await client.close()
    assert first.served_by is ServedBy.CLOUD
    assert [result.served_by for result in results] == [ServedBy.EDGE] * 3
    for result, frame in zip(results, inputs[1:], strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


async def test_message_over_the_limit_is_refused_before_it_is_sent(residual_bundle: Bundle) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.max_message_bytes = 10_000  # cut-03: 16*8*8 float32 = 4,096 bytes; input: 12,288
        client = AsyncEdgeClient(cloud.address, residual_bundle, "cloud")
        with pytest.raises(TooLargeError, match="10,000"):
            await client.connect()
        await client.close()
        async with AsyncEdgeClient(cloud.address, residual_bundle, "cut-03") as client:
            with pytest.raises(TooLargeError, match="Use another cut"):
                client.set_option("cloud")
            (inputs,) = frames(residual_bundle, 1)
            three = {name: array.repeat(3, axis=0) for name, array in inputs.items()}
            result = await client.infer(three)
            assert result.reason.startswith("message too large: the request has")
            assert "another cut or codec" in result.reason
            assert (result.served_by, result.upload_bytes) == (ServedBy.EDGE, 0)
            assert_same(result.outputs, whole(residual_bundle, three))
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
    assert len(cloud.requests) == 1


async def test_message_that_the_other_side_refuses_is_too_large_for_its_sender_only(
    residual_bundle: Bundle,
) -> None:
    cloud = FakeCloud(residual_bundle, silence)
    cloud.max_message_bytes = 10_000
    async with cloud:
        cloud.max_message_bytes = 1 << 20  # it announces more than its gRPC takes
        async with AsyncEdgeClient(cloud.address, residual_bundle, "cut-03") as client:
            (inputs,) = frames(residual_bundle, 1)
            three = {name: array.repeat(3, axis=0) for name, array in inputs.items()}
            small = asyncio.create_task(client.infer(inputs))
            assert (await client.infer(three)).reason.startswith("message too large")
            assert (await small).reason.startswith("cloud unreachable: the stream to")


async def test_cancelled_call_leaves_the_stream_to_the_others(residual_bundle: Bundle) -> None:
    came = asyncio.Event()

    async def first_is_held(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        if header.id == "0":
            came.set()
            return None
        return await cloud.infer(header, raw)

    inputs = frames(residual_bundle, 2)
    async with (
        FakeCloud(residual_bundle, first_is_held) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        held = asyncio.create_task(client.infer(inputs[0]))
        await came.wait()
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert (await client.infer(inputs[1])).served_by is ServedBy.CLOUD
        assert cloud.streams == 1


def test_codec_is_kept_for_the_end_that_crosses_nothing(image_bundle: Bundle) -> None:
    assert choose(image_bundle, "edge", "jpeg", "").codec.name == "raw"


async def test_stream_that_stays_silent_is_given_up_with_its_connection(
    residual_bundle: Bundle,
) -> None:
    async with FakeCloud(residual_bundle, silence) as cloud:
        transport = GrpcTransport(cloud.address, silence_s=0.0)
        for count in (1, 2):
            await transport.channel.channel_ready()
            with pytest.raises(LateError, match="no answer from"):
                await transport.call(str(count), b"\x1a\x011", timeout_s=1.5)
            assert cloud.streams == count
        await transport.close()


async def garbled(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
    return b"\xff" * 40


async def misshapen(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
    answer = ModelInferResponse(id=header.id)
    answer.outputs.add(name="gemm_44", datatype="FP32", shape=[2])
    return encode_stream_response(answer, [bytes(8)])


async def short(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
    answer = ModelInferResponse(id=header.id)
    answer.outputs.add(name="gemm_44", datatype="FP32", shape=[1, 10])
    return encode_stream_response(answer, [bytes(8)])


@pytest.mark.parametrize("answer", [garbled, misshapen, short])
async def test_answer_that_makes_no_sense_costs_no_frame(
    residual_bundle: Bundle, answer: Answer
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, answer) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert_same(result.outputs, whole(residual_bundle, inputs))
        cloud.answer = cloud.infer
        await look_again(client)
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_errors_of_the_stream_itself_end_it(residual_bundle: Bundle) -> None:
    async def without_id(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        return encode_stream_response(ModelInferResponse(), [], "everything broke")

    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, without_id) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-04") as client,
    ):
        assert (await client.infer(inputs)).reason == "cloud failed: everything broke"


@pytest.mark.parametrize("queue_ns", [-(10**18), -1, 10**18])
async def test_times_that_cannot_be_are_a_fault_and_teach_nothing(
    residual_bundle: Bundle, queue_ns: int
) -> None:
    async def odd(header: ModelInferRequest, raw: list[memoryview]) -> bytes:
        tail, outputs = cloud.tail(header.model_name)
        answer, buffers = pack_response(
            header.model_name,
            header.id,
            tail.run(unpack_request(header, raw, tail.inputs)),
            outputs,
        )
        answer.parameters[PARAM_QUEUE_NS].int64_param = queue_ns
        return encode_stream_response(answer, buffers)

    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03") as client,
    ):
        cloud.answer = odd
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert result.reason.startswith("cloud failed: the answer of")
        assert client.control.learned.crossed_at == float("-inf")


async def test_answer_that_cannot_be_read_ends_its_stream_and_no_later_one(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise ValueError("a bug")

    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03") as client,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(stream, "read_reply", fail)
            result = await client.infer(inputs)
        assert result.served_by is ServedBy.EDGE
        assert "could not be read" in result.reason
        assert "a bug" in caplog.text
        await look_again(client)
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
        assert cloud.streams == 2
