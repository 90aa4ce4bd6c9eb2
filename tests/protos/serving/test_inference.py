"""The Open Inference Protocol: right answers, and for each wrong request its status and sentence."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from cloud_server.models.version import Version
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import Stage
from protos import inference_pb2 as oip
from protos.codecs.registry import get_codec
from protos.errors import FaultError
from protos.names import (
    PARAM_BUNDLE_DIGEST,
    PARAM_CODEC,
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_OPEN_NS,
    PARAM_QUEUE_NS,
)
from protos.serving import refusals
from protos.serving.bounded_log import BoundedLog
from protos.wire.messages import integer_parameter
from tests.kit.cloud_calls import (
    TIMEOUT_S,
    connected,
    crossing,
    oip_stub,
    outputs_of,
    refused,
    request_for,
    uncut,
)


@pytest.fixture(scope="module")
def channel(residual_bundle: Bundle) -> Iterator[grpc.Channel]:
    server = CloudServer(residual_bundle.path, max_message_bytes=1 << 20, workers=2)
    with server, connected(server.address) as channel:
        yield channel


@pytest.fixture
def infer(channel: grpc.Channel) -> Callable[[Any], Any]:
    return lambda request: oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)


def good_request(bundle: Bundle, batch: int = 1) -> oip.ModelInferRequest:
    return request_for(bundle, "cloud", crossing(bundle, "cloud", batch=batch), frame_id="7")


def test_tail_of_every_cut_completes_the_whole_model(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    wanted = uncut(residual_bundle)
    for cut in residual_bundle.cuts:
        if cut == "edge":
            continue
        answer = infer(
            request_for(residual_bundle, cut, crossing(residual_bundle, cut), frame_id=cut)
        )
        assert answer.id == cut
        for name, array in outputs_of(answer).items():
            np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)


def test_batch_of_three_gives_three_answers(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    (array,) = outputs_of(infer(good_request(residual_bundle, batch=3))).values()
    (wanted,) = uncut(residual_bundle, batch=3).values()
    assert array.shape[0] == 3
    np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)


def test_answer_tells_where_the_servers_time_went(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    answer = infer(good_request(residual_bundle))
    for key in (PARAM_QUEUE_NS, PARAM_DECODE_NS, PARAM_COMPUTE_NS):
        assert 0 < integer_parameter(answer.parameters, key) < TIMEOUT_S * 1e9


def test_answer_tells_once_what_loading_its_tail_took(residual_bundle: Bundle) -> None:
    with (
        CloudServer(residual_bundle.path, listen="127.0.0.1:0") as server,
        connected(server.address) as channel,
    ):
        stub, request = oip_stub(channel), good_request(residual_bundle)
        first, second = (stub.ModelInfer(request, timeout=TIMEOUT_S) for _ in range(2))
    open_ns, queue_ns = (
        integer_parameter(first.parameters, key) for key in (PARAM_OPEN_NS, PARAM_QUEUE_NS)
    )
    assert 0 < open_ns < queue_ns
    assert PARAM_OPEN_NS not in second.parameters


def test_typed_contents_are_taken_as_raw_ones_are(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    request = good_request(residual_bundle)
    wanted = outputs_of(infer(request))
    (raw,) = request.raw_input_contents
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend(np.frombuffer(raw, np.float32))
    for name, array in outputs_of(infer(request)).items():
        np.testing.assert_array_equal(array, wanted[name])


def test_jpeg_input_is_decoded(image_bundle: Bundle) -> None:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    image = np.broadcast_to(ramp[None, :, None, None], (1, 32, 32, 3))
    (name,) = (spec.name for spec in image_bundle.inputs)
    codec = get_codec("jpeg-90")
    request = request_for(image_bundle, "cloud", {name: image}, codec=codec)
    assert request.inputs[0].parameters[PARAM_CODEC].string_param == "jpeg-90"
    decoded = codec.decode(request.raw_input_contents[0], "uint8", (1, 32, 32, 3), name)
    with CloudServer(image_bundle.path) as server, connected(server.address) as channel:
        answer = oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)
    (array,) = outputs_of(answer).values()
    (wanted,) = image_bundle.open_tail("cloud").run({name: decoded}).values()
    np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)


def test_only_the_requested_outputs_come_back(bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("two_towers")
    last = bundle.outputs[-1].name
    request = request_for(bundle, "cloud", crossing(bundle, "cloud"))
    request.outputs.add(name=last)
    with CloudServer(bundle.path) as server, connected(server.address) as channel:
        answer = oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)
    assert [output.name for output in answer.outputs] == [last]
    np.testing.assert_allclose(outputs_of(answer)[last], uncut(bundle)[last], rtol=1e-4, atol=1e-5)


def _unknown_model(request: oip.ModelInferRequest) -> None:
    request.model_name = "resnet"


def _unknown_version(request: oip.ModelInferRequest) -> None:
    request.model_version = "9"


def _wrong_dtype(request: oip.ModelInferRequest) -> None:
    request.inputs[0].datatype = "INT32"


def _no_dtype(request: oip.ModelInferRequest) -> None:
    request.inputs[0].datatype = "COMPLEX"


def _wrong_shape(request: oip.ModelInferRequest) -> None:
    request.inputs[0].shape[:] = [1, 3, 16, 64]


def _huge_shape(request: oip.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 1 << 40


def _missing_input(request: oip.ModelInferRequest) -> None:
    del request.inputs[:]
    del request.raw_input_contents[:]


def _short_bytes(request: oip.ModelInferRequest) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-4]


def _extra_bytes(request: oip.ModelInferRequest) -> None:
    request.raw_input_contents.append(b"more")


def _other_digest(request: oip.ModelInferRequest) -> None:
    request.parameters[PARAM_BUNDLE_DIGEST].string_param = "0123456789abcdef" * 4


def _unknown_codec(request: oip.ModelInferRequest) -> None:
    request.inputs[0].parameters[PARAM_CODEC].string_param = "avif"


def _jpeg_of_floats(request: oip.ModelInferRequest) -> None:
    request.inputs[0].parameters[PARAM_CODEC].string_param = "jpeg"


def _unknown_output(request: oip.ModelInferRequest) -> None:
    request.outputs.add(name="softmax")


def _classification(request: oip.ModelInferRequest) -> None:
    request.outputs.add(name="OUTPUT").parameters["classification"].int64_param = 3


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (_unknown_model, "NOT_FOUND", "no model 'resnet'. It has: residual"),
        (_unknown_version, "NOT_FOUND", "no version '9'"),
        (_wrong_dtype, "INVALID_ARGUMENT", "int32[1, 3, 32, 32], but float32[batch, 3, 32, 32]"),
        (_no_dtype, "INVALID_ARGUMENT", "data type 'COMPLEX'"),
        (_wrong_shape, "INVALID_ARGUMENT", "float32[1, 3, 16, 64], but float32[batch, 3, 32, 32]"),
        (_huge_shape, "INVALID_ARGUMENT", "came with 12,288 bytes"),
        (_missing_input, "INVALID_ARGUMENT", "takes exactly: x float32[batch, 3, 32, 32]"),
        (_short_bytes, "INVALID_ARGUMENT", "came with 12,284 bytes"),
        (_extra_bytes, "INVALID_ARGUMENT", "1 input came with 2 raw_input_contents"),
        (_other_digest, "FAILED_PRECONDITION", "has the digest 0123456789ab…, the server's "),
        (_unknown_codec, "NOT_FOUND", "no codec 'avif'"),
        (_jpeg_of_floats, "INVALID_ARGUMENT", "a JPEG holds uint8"),
        (_unknown_output, "INVALID_ARGUMENT", "no output 'softmax'"),
        (_classification, "INVALID_ARGUMENT", "asks for classification"),
    ],
)
def test_wrong_request_gets_its_status_and_sentence(
    residual_bundle: Bundle,
    infer: Callable[[Any], Any],
    spoil: Callable[[oip.ModelInferRequest], None],
    code: str,
    sentence: str,
) -> None:
    request = good_request(residual_bundle)
    spoil(request)
    for output in request.outputs:
        output.name = output.name.replace("OUTPUT", residual_bundle.outputs[0].name)
    found_code, found_sentence = refused(lambda: infer(request))
    assert found_code == code
    assert sentence in found_sentence


def test_digest_mismatch_names_both_digests(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    request = good_request(residual_bundle)
    _other_digest(request)
    _, sentence = refused(lambda: infer(request))
    assert residual_bundle.digest[:12] in sentence


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x3a\xff\x01abc", b"\x0a\x02\xff\xfe", b""])
def test_garbage_bytes_are_refused(channel: grpc.Channel, garbage: bytes) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    code, _ = refused(lambda: call(garbage, timeout=TIMEOUT_S))
    assert code == ("INVALID_ARGUMENT" if garbage else "NOT_FOUND")


def test_message_over_the_limit_is_refused(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    request = good_request(residual_bundle, batch=100)
    code, sentence = refused(lambda: infer(request))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in sentence


def test_coded_inputs_that_unfold_over_their_own_limit_are_refused(residual_bundle: Bundle) -> None:
    # A sample of 3*32*32 float32 unfolds to 12,288 bytes: two are 24 KiB.
    with (
        CloudServer(residual_bundle.path, max_decoded_bytes=24 << 10) as server,
        connected(server.address) as channel,
    ):
        two, three = (
            request_for(
                residual_bundle,
                "cloud",
                crossing(residual_bundle, "cloud", batch=batch),
                codec=get_codec("half"),
            )
            for batch in (2, 3)
        )
        call = oip_stub(channel).ModelInfer
        assert call(two, timeout=TIMEOUT_S).outputs[0].shape[0] == 2
        code, sentence = refused(lambda: call(three, timeout=TIMEOUT_S))
    assert code == "OUT_OF_RANGE"
    assert "unfold to 36,864 bytes, and this server takes 24,576" in sentence
    assert "--max-decoded" in sentence


def test_message_that_unfolds_over_the_limit_is_refused(
    residual_bundle: Bundle, infer: Callable[[Any], Any]
) -> None:
    # 100 images of 3*32*32 float32: 614,400 bytes as half, 1,228,800 decoded; the limit is 1 MiB.
    values = crossing(residual_bundle, "cloud", batch=100)
    request = request_for(residual_bundle, "cloud", values, codec=get_codec("half"))
    code, sentence = refused(lambda: infer(request))
    assert code == "OUT_OF_RANGE"
    assert "unfold to 1,228,800 bytes" in sentence


@pytest.mark.parametrize(
    ("error", "public"),
    [
        (ValueError("a secret of the server"), "its log says why"),
        (FaultError("the runtime failed on this input: 3"), "the runtime failed on this input: 3"),
    ],
)
def test_servers_own_failure_is_internal_logged_and_leaks_nothing(
    residual_bundle: Bundle,
    infer: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    public: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(refusals, "_log", BoundedLog(logging.getLogger("fresh"), logging.ERROR))
    request = good_request(residual_bundle)
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "run", fail)
        code, sentence = refused(lambda: infer(request))
    assert (code, public in sentence, "secret" in sentence) == ("INTERNAL", True, False)
    assert str(error) in caplog.text
    assert infer(request).id == "7"


def test_metadata_describes_server_and_models(
    residual_bundle: Bundle, channel: grpc.Channel
) -> None:
    stub = oip_stub(channel)
    assert stub.ServerLive(oip.ServerLiveRequest()).live
    assert stub.ServerReady(oip.ServerReadyRequest()).ready
    assert stub.ServerMetadata(oip.ServerMetadataRequest()).name == "splitpoint"
    cut = list(residual_bundle.cuts.values())[1]
    name = f"residual.{cut.id}"
    number = Version.of(residual_bundle).number
    found = stub.ModelMetadata(oip.ModelMetadataRequest(name=name, version=number))
    assert (found.name, list(found.versions)) == (name, [number])
    assert [(t.name, t.datatype, tuple(t.shape)) for t in found.inputs] == [
        (spec.name, "FP32", spec.shape) for spec in cut.frontier
    ]
    assert [t.name for t in found.outputs] == list(cut.tail_outputs)
    assert stub.ModelReady(oip.ModelReadyRequest(name=name)).ready
    assert not stub.ModelReady(oip.ModelReadyRequest(name="resnet")).ready
    code, _ = refused(lambda: stub.ModelMetadata(oip.ModelMetadataRequest(name="resnet")))
    assert code == "NOT_FOUND"
