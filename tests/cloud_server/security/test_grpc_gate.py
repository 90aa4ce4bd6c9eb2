"""The gate on gRPC, by real calls: who is let in to what, and what becomes of calls that stay open."""

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from cloud_server.security.registered_device import Limits, RegisteredDevice, Role
from cloud_server.security.registration import revoked, rotated
from cloud_server.security.rules import RPC_RULES
from cloud_server.security.tokens import Token, new_token
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import splitpoint_pb2 as sp
from protos.inference_pb2 import (
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelStatisticsRequest,
    ServerMetadataRequest,
)
from protos.names import PARAM_ERROR_CODE, PARAM_RETRY_AFTER_MS, RETRY_AFTER_TRAILER
from protos.splitpoint_pb2_grpc import UpdatesStub
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import (
    STREAM,
    TIMEOUT_S,
    connected,
    crossing,
    oip_stub,
    refused,
    request_for,
    splitpoint_stub,
)
from tests.kit.devices import NOW, device_of, enrol, put, showing
from tests.kit.snapshots import snapshot

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of one device that may do nothing."""
    enrol(tmp_path / "devices.json", "nobody")
    return tmp_path / "devices.json"


@pytest.fixture
def server(residual_bundle: Bundle, path: Path) -> Iterator[CloudServer]:
    with CloudServer(residual_bundle.path, preload=("cloud",), devices=path) as server:
        yield server


def look_again(server: CloudServer) -> None:
    """Have the server read its file now, in its own loop, rather than some time within the second."""
    thread: Any = server._thread
    thread.run(server.gate.refresh())  # type: ignore[union-attr]


@pytest.fixture
def enrolled(server: CloudServer, path: Path) -> Callable[..., Token]:
    def enrolled(name: str, *roles: str, **more: Any) -> Token:
        token = enrol(path, name, *roles, **more)
        look_again(server)
        return token

    return enrolled


def request_of(bundle: Bundle) -> Any:
    return request_for(bundle, "cloud", crossing(bundle, "cloud"), frame_id="7")


def call(channel: grpc.Channel, method: str) -> tuple[str, str]:
    """Call any method with an empty message, as if it took one and gave one."""
    unary = channel.unary_unary(method, Empty.SerializeToString, Empty.FromString)
    try:
        unary(Empty(), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        found: Any = error
        return found.code().name, found.details()
    return "OK", ""


def test_every_registered_method_has_a_rule(
    monkeypatch: pytest.MonkeyPatch, residual_bundle: Bundle
) -> None:
    registered: set[str] = set()
    make = grpc.method_handlers_generic_handler

    def noted(service: str, handlers: dict[str, Any]) -> Any:
        registered.update(f"/{service}/{name}" for name in handlers)
        return make(service, handlers)

    monkeypatch.setattr(grpc, "method_handlers_generic_handler", noted)
    with CloudServer(residual_bundle.path):
        pass
    assert len(registered) > 15
    assert any("reflection" in method for method in registered)
    assert any("Health" in method for method in registered)
    assert registered - set(RPC_RULES) == set()


def test_device_neither_reads_nor_reports_of_models_that_are_not_its_own(
    server: CloudServer, enrolled: Callable[..., Token]
) -> None:
    token = enrolled("cam", "telemetry", models=["other"])
    report = sp.ReportTelemetryRequest(snapshots_json=[snapshot(bundle="residual")])
    with connected(server.address) as channel:
        shown = showing(channel, token)
        stub = oip_stub(shown)
        assert not stub.ModelStatistics(ModelStatisticsRequest(), timeout=TIMEOUT_S).model_stats
        for name in ("residual", "residual.cut-01", "nothing"):
            code, sentence = refused(
                partial(stub.ModelStatistics, ModelStatisticsRequest(name=name), timeout=TIMEOUT_S)
            )
            assert (code, sentence) == (
                "PERMISSION_DENIED",
                f"device cam may not use the model {name!r}. It may use: other.",
            )
        told = partial(splitpoint_stub(shown).ReportTelemetry, report, timeout=TIMEOUT_S)
        assert refused(told)[0] == "PERMISSION_DENIED"
    assert not list(server.served.edges.newest())


def test_call_whose_request_comes_after_its_token_was_revoked_is_not_made(
    server: CloudServer, path: Path
) -> None:
    device, token = device_of("root", "admin")
    put(path, device)
    look_again(server)
    begun, sends = threading.Event(), threading.Event()

    def request() -> Iterator[bytes]:
        begun.set()
        sends.wait(TIMEOUT_S)
        yield b""

    method = "/inference.GRPCInferenceService/RepositoryIndex"
    with connected(server.address) as channel:
        shown = showing(channel, token)
        call(shown, method)  # it is connected
        late = shown.stream_unary(method).future(request(), timeout=TIMEOUT_S)
        assert begun.wait(TIMEOUT_S)
        call(shown, method)  # comes after the other's beginning
        put(path, rotated(device, NOW, NOW, None)[0])
        look_again(server)
        sends.set()
        assert refused(late.result)[0] == "UNAUTHENTICATED"


def test_name_of_any_length_is_refused_in_words(
    server: CloudServer, enrolled: Callable[..., Token]
) -> None:
    token = enrolled("cam", "infer")
    with connected(server.address) as channel:
        stub = oip_stub(showing(channel, token))
        for count in (9_000, 1_000_000):
            request = ModelMetadataRequest(name="x" * count)
            code, sentence = refused(partial(stub.ModelMetadata, request, timeout=TIMEOUT_S))
            assert code == "NOT_FOUND"
            assert "no model" in sentence


def test_method_without_a_rule_is_refused_to_everybody(
    server: CloudServer, enrolled: Callable[..., Token], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = enrolled("root", *Role)
    rules = {name: rule for name, rule in RPC_RULES.items() if not name.endswith("ServerMetadata")}
    monkeypatch.setattr("cloud_server.security.grpc_gate.RPC_RULES", rules)
    with connected(server.address) as channel:
        found = call(showing(channel, token), "/inference.GRPCInferenceService/ServerMetadata")
    assert found[0] == "PERMISSION_DENIED"
    assert "has no rule" in found[1]


@pytest.mark.parametrize("method", sorted(RPC_RULES))
def test_stranger_gets_nothing_but_health(server: CloudServer, method: str) -> None:
    health = {"ServerLive", "ServerReady", "Check", "List"}
    with connected(server.address) as channel:
        for shown in (channel, showing(channel, new_token()), showing(channel, "no token")):
            code, _ = call(shown, method)
            if method.rpartition("/")[2] in health:
                assert code in ("OK", "UNIMPLEMENTED")
            else:
                assert code in ("UNAUTHENTICATED", "UNIMPLEMENTED")


@pytest.mark.parametrize("role", Role)
def test_role_opens_its_own_methods_and_no_others(
    server: CloudServer, enrolled: Callable[..., Token], role: Role
) -> None:
    token = enrolled("device", role)
    with connected(server.address) as channel:
        for method, rule in RPC_RULES.items():
            if "Watch" in method or "reflection" in method:
                continue  # they stay open
            code, details = call(showing(channel, token), method)
            if rule.roles and role not in rule.roles:
                assert code in ("PERMISSION_DENIED", "UNIMPLEMENTED"), method
                assert code == "UNIMPLEMENTED" or f"lacks the role {rule.roles[0]}" in details
            else:
                assert code not in ("PERMISSION_DENIED", "UNAUTHENTICATED"), method


def test_stranger_is_refused_before_the_request_is_read(server: CloudServer) -> None:
    """On the wire a call with one request is a stream of one; this one never sends it."""
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(TIMEOUT_S)
        yield b""

    with connected(server.address) as channel:
        for shown in (channel, showing(channel, new_token())):
            ask = shown.stream_unary(INFER)
            assert refused(lambda: ask(nothing(), timeout=TIMEOUT_S))[0] == "UNAUTHENTICATED"  # noqa: B023
        never.set()


def test_every_call_counts_and_every_byte(
    server: CloudServer, enrolled: Callable[..., Token], residual_bundle: Bundle
) -> None:
    seldom = enrolled("seldom", limits=Limits(requests_per_s=1 / 3600))
    small = enrolled("small", "infer", limits=Limits(bytes_per_s=1))
    request = request_of(residual_bundle)
    with connected(server.address) as channel:
        metadata = oip_stub(showing(channel, seldom)).ServerMetadata
        assert metadata(ServerMetadataRequest(), timeout=TIMEOUT_S).name
        assert refused(lambda: metadata(ServerMetadataRequest()))[0] == "RESOURCE_EXHAUSTED"
        # A request over a second's bytes gets through, and the next one waits for its bytes to come back.
        infer = oip_stub(showing(channel, small)).ModelInfer
        assert infer(request, timeout=TIMEOUT_S).outputs
        with pytest.raises(grpc.RpcError) as caught:
            infer(request, timeout=TIMEOUT_S)
        error: Any = caught.value
        wait_s = int(dict(error.trailing_metadata())[RETRY_AFTER_TRAILER]) / 1e3
        assert 0.9 * request.ByteSize() < wait_s <= request.ByteSize() + 1


def test_what_a_device_asks_by_itself_takes_no_request_from_its_frames(
    server: CloudServer, enrolled: Callable[..., Token], residual_bundle: Bundle
) -> None:
    token = enrolled("cam", "infer", "fetch", limits=Limits(requests_per_s=1 / 3600))
    part = sp.FetchPartRequest(
        name="residual",
        path="bundle.json",
        version_digest=residual_bundle.version_digest,
    )
    with connected(server.address) as channel:
        shown = showing(channel, token)
        splitpoint, updates = splitpoint_stub(shown), UpdatesStub(shown)
        for _ in range(3):
            assert splitpoint.GetServerInfo(sp.GetServerInfoRequest(), timeout=TIMEOUT_S).version
            assert splitpoint.ListBundles(sp.ListBundlesRequest(), timeout=TIMEOUT_S).bundles
            probe = sp.ProbeRequest(payload=b"x", reply_bytes=7)
            assert len(splitpoint.Probe(probe, timeout=TIMEOUT_S).payload) == 7
            watch = updates.WatchVersion(sp.WatchVersionRequest(name="residual"), timeout=TIMEOUT_S)
            assert next(iter(watch))
            watch.cancel()
            assert updates.FetchPart(part, timeout=TIMEOUT_S).chunk
        infer = oip_stub(shown).ModelInfer
        request = request_of(residual_bundle)
        assert infer(request, timeout=TIMEOUT_S).outputs
        assert refused(lambda: infer(request, timeout=TIMEOUT_S))[0] == "RESOURCE_EXHAUSTED"


def test_probe_waits_for_the_bytes_that_its_device_may_download(
    server: CloudServer, enrolled: Callable[..., Token], monkeypatch: pytest.MonkeyPatch
) -> None:
    token, paced = enrolled("cam"), []

    async def pace(device: RegisteredDevice, size_bytes: int) -> None:
        paced.append((device.name, size_bytes))

    monkeypatch.setattr(server.gate, "pace", pace)
    with connected(server.address) as channel:
        probe = splitpoint_stub(showing(channel, token)).Probe
        probe(sp.ProbeRequest(payload=b"abc", reply_bytes=7), timeout=TIMEOUT_S)
    assert paced == [("cam", 10)]


def test_device_is_answered_by_the_models_that_it_may_use_alone(
    server: CloudServer, enrolled: Callable[..., Token], residual_bundle: Bundle
) -> None:
    request = request_of(residual_bundle)
    mine = enrolled("mine", "infer", "fetch", "profile", models=["resid*"])
    other = enrolled("other", "infer", "fetch", "profile", models=["digits"])
    with connected(server.address) as channel:
        oip, splitpoint = oip_stub(showing(channel, mine)), splitpoint_stub(showing(channel, mine))
        assert oip.ModelInfer(request, timeout=TIMEOUT_S).outputs
        assert oip.ModelMetadata(ModelMetadataRequest(name="residual")).inputs
        assert oip.ModelReady(ModelReadyRequest(name="residual")).ready
        assert [one.name for one in splitpoint.ListBundles(sp.ListBundlesRequest()).bundles] == [
            "residual"
        ]
        assert next(splitpoint.FetchBundle(sp.FetchBundleRequest(name="residual"))).path

        oip, splitpoint = (
            oip_stub(showing(channel, other)),
            splitpoint_stub(showing(channel, other)),
        )
        assert list(splitpoint.ListBundles(sp.ListBundlesRequest()).bundles) == []
        # The same words for a model that is not there: nobody learns what there is.
        for name in ("residual", "residual.cut-01", "secret"):
            request.model_name = name
            for ask in (
                lambda: oip.ModelInfer(request, timeout=TIMEOUT_S),
                lambda: oip.ModelMetadata(ModelMetadataRequest(name=name)),  # noqa: B023
                lambda: oip.ModelReady(ModelReadyRequest(name=name)),  # noqa: B023
                lambda: next(splitpoint.FetchBundle(sp.FetchBundleRequest(name=name))),  # noqa: B023
                lambda: next(splitpoint.MeasureProfile(sp.MeasureProfileRequest(name=name))),  # noqa: B023
            ):
                code, details = refused(ask)
                assert code == "PERMISSION_DENIED"
                assert details == (
                    f"device other may not use the model {name!r}. It may use: digits."
                )
        request.model_name = "digits.cut-01"
        code, details = refused(lambda: oip.ModelInfer(request, timeout=TIMEOUT_S))
        assert code == "NOT_FOUND"
        assert "residual" not in details


def test_each_request_of_a_stream_is_checked_for_its_model(
    server: CloudServer, enrolled: Callable[..., Token], residual_bundle: Bundle
) -> None:
    token = enrolled("other", "infer", models=["digits"])
    requests = [request_of(residual_bundle).SerializeToString() for _ in range(3)]
    with connected(server.address) as channel:
        stream = showing(channel, token).stream_stream(STREAM)
        answers = [
            decode_stream_response(data) for data in stream(iter(requests), timeout=TIMEOUT_S)
        ]
    assert len(answers) == 3
    for error, header, _ in answers:
        assert "other may not use the model 'residual'" in error
        assert (header.id, header.parameters[PARAM_ERROR_CODE].string_param) == (
            "7",
            "PERMISSION_DENIED",
        )


def test_request_over_the_rate_is_refused_and_says_when_to_try_again(
    server: CloudServer,
    enrolled: Callable[..., Token],
    residual_bundle: Bundle,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    request = request_of(residual_bundle)
    slow = enrolled("slow", "infer", limits=Limits(requests_per_s=1 / 3600))
    with connected(server.address) as channel:
        infer = oip_stub(showing(channel, slow)).ModelInfer
        assert infer(request, timeout=TIMEOUT_S).outputs
        with pytest.raises(grpc.RpcError) as caught:
            infer(request, timeout=TIMEOUT_S)
        error: Any = caught.value
        assert error.code().name == "RESOURCE_EXHAUSTED"
        trailers = dict(error.trailing_metadata())
        assert 3_000_000 < int(trailers[RETRY_AFTER_TRAILER]) <= 3_600_000
        # Its stream goes on, and tells each request the same.
        data = request.SerializeToString()
        stream = showing(channel, slow).stream_stream(STREAM)(iter([data] * 3), timeout=TIMEOUT_S)
        answers = [decode_stream_response(answer) for answer in stream]
    assert len(answers) == 3
    for said, header, _ in answers:
        assert "slow may take 0.000277778 requests a second" in said
        assert header.parameters[PARAM_ERROR_CODE].string_param == "RESOURCE_EXHAUSTED"
        assert header.parameters[PARAM_RETRY_AFTER_MS].int64_param > 3_000_000
        assert header.id == "7"
    version = server.store.versions["residual"][0].number
    tally = server.served.requests.tallies["residual", version]
    assert tally.failures["RESOURCE_EXHAUSTED"] >= 4  # and not of no model
    assert (
        tally.over_quota == 4
    )  # it is the device that asks for too much, not a server that is full
    assert "device slow may take 0.000277778 requests a second" in caplog.text


class OpenStream:
    """A stream of inference that a test holds open."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self.call = channel.stream_stream(STREAM)(iter(self._requests.get, None), timeout=TIMEOUT_S)

    def ask(self, data: bytes) -> str:
        """Send a request; the error in its answer."""
        self._requests.put(data)
        return decode_stream_response(next(self.call))[0]

    def end(self) -> tuple[str, str]:
        """Wait until the server ends it; status and sentence."""
        try:
            return refused(lambda: next(self.call))
        finally:
            self._requests.put(None)


def test_open_stream_of_a_revoked_device_ends(
    server: CloudServer, enrolled: Callable[..., Token], path: Path, residual_bundle: Bundle
) -> None:
    data = request_of(residual_bundle).SerializeToString()
    device, token = device_of("lost", "infer")
    put(path, device)
    look_again(server)
    other = enrolled("other", "infer")
    with connected(server.address) as channel:
        stream, others = OpenStream(showing(channel, token)), OpenStream(showing(channel, other))
        assert stream.ask(data) == others.ask(data) == ""
        put(path, revoked(device, NOW))  # and nobody tells the server
        assert stream.end() == (
            "UNAUTHENTICATED",
            "the token of device lost is revoked, with the whole device. Ask for it to be made anew: "
            "splitpoint-cloud devices create lost.",
        )
        assert others.ask(data) == ""
        others.call.cancel()


@pytest.mark.parametrize("change", ["rotated", "without its role", "expired"])
def test_open_stream_ends_when_its_token_or_role_does(
    server: CloudServer, path: Path, residual_bundle: Bundle, change: str
) -> None:
    data = request_of(residual_bundle).SerializeToString()
    device, token = device_of("cam", "infer")
    put(path, device)
    look_again(server)
    after = {
        "rotated": rotated(device, NOW, NOW, None)[0],
        "without its role": device.model_copy(update={"roles": (Role.FETCH,)}),
        "expired": device.model_copy(
            update={"tokens": (device.tokens[0].model_copy(update={"expires": device.created}),)}
        ),
    }[change]
    with connected(server.address) as channel:
        stream = OpenStream(showing(channel, token))
        assert stream.ask(data) == ""
        put(path, after)
        look_again(server)
        code, _ = stream.end()
    assert code == ("PERMISSION_DENIED" if change == "without its role" else "UNAUTHENTICATED")


def test_stream_of_a_revoked_device_ends_with_requests_in_flight(
    server: CloudServer, path: Path, residual_bundle: Bundle
) -> None:
    device, token = device_of("deaf", "infer")
    put(path, device)
    look_again(server)
    data = request_of(residual_bundle).SerializeToString()
    with connected(server.address) as channel:
        stream = OpenStream(showing(channel, token))
        for _ in range(200):
            stream._requests.put(data)
        assert stream.ask(data) == ""
        put(path, revoked(device, NOW))
        look_again(server)
        with pytest.raises(grpc.RpcError) as caught:
            list(stream.call)
        stream._requests.put(None)
    error: Any = caught.value
    assert error.code().name == "UNAUTHENTICATED"
    gate: Any = server.gate
    assert not gate._open
    assert not any(use.streams for use in gate._quotas._uses.values())


def test_stream_over_the_limit_is_refused_and_another_may_take_its_place(
    server: CloudServer, enrolled: Callable[..., Token], residual_bundle: Bundle
) -> None:
    data = request_of(residual_bundle).SerializeToString()
    token = enrolled("one", "infer", limits=Limits(streams=1))
    with connected(server.address) as channel:
        first = OpenStream(showing(channel, token))
        assert first.ask(data) == ""
        code, details = OpenStream(showing(channel, token)).end()
        assert code == "RESOURCE_EXHAUSTED"
        assert "one may take 1 stream at once" in details
        first._requests.put(None)
        assert list(first.call) == []
        again = OpenStream(showing(channel, token))
        assert again.ask(data) == ""
        again._requests.put(None)
        assert list(again.call) == []


def test_damaged_file_changes_nothing_and_is_said(
    server: CloudServer,
    enrolled: Callable[..., Token],
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = enrolled("cam", "infer")
    good = path.read_text()
    with connected(server.address) as channel:
        ready = oip_stub(showing(channel, token)).ModelReady
        path.write_text(good[:50])
        look_again(server)
        assert ready(ModelReadyRequest(name="residual")).ready
        path.unlink()
        look_again(server)
        assert ready(ModelReadyRequest(name="residual")).ready
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert re.search("is damaged.*the devices that were known before are served", said[0])
    assert "cannot be read: No such file" in said[1]


def test_reflection_and_watch_want_a_name_and_end_with_it(
    server: CloudServer, enrolled: Callable[..., Token], path: Path
) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    device, token = device_of("cam")
    put(path, device)
    look_again(server)
    with connected(server.address) as channel:
        with pytest.raises(grpc.RpcError):
            ProtoReflectionDescriptorDatabase(channel).get_services()
        known = ProtoReflectionDescriptorDatabase(showing(channel, token)).get_services()
        assert "inference.GRPCInferenceService" in known
        watch = health_pb2_grpc.HealthStub(showing(channel, token)).Watch(
            health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        put(path, revoked(device, NOW))
        look_again(server)
        assert refused(lambda: next(watch))[0] == "UNAUTHENTICATED"
