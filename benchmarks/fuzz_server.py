"""A server under damaged requests: what it answers them, and whether it goes on to answer others rightly."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import hypothesis.strategies as st
import numpy as np
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from benchmarks.children import Child
from benchmarks.serving import announced
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos import inference_pb2, splitpoint_pb2
from protos.codecs.registry import get_codec
from protos.inference_pb2 import ModelInferResponse
from protos.names import CLOUD
from protos.wire.framing import decode_stream_response
from protos.wire.messages import unpack_response
from tests.kit.cloud_calls import STREAM, request_for
from tests.kit.damage import damaged, damaged_documents

_PATIENCE_S = 20.0
"""A call that takes longer hangs."""
INFER = "/inference.GRPCInferenceService/ModelInfer"
_CLEAR = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "PERMISSION_DENIED",
}  # fmt: skip
"""Statuses that say what is wrong with a request; all others blame the server, the link or nobody."""
_CLEAR_HTTP = {200, 307, 400, 404, 405, 411, 413, 415, 422}
SAMPLES: dict[str, list[Any]] = {
    "ModelReady": [inference_pb2.ModelReadyRequest(name="digits", version="1")],
    "ModelMetadata": [inference_pb2.ModelMetadataRequest(name="digits.cut-04")],
    "ModelConfig": [inference_pb2.ModelConfigRequest(name="digits")],
    "ModelStatistics": [inference_pb2.ModelStatisticsRequest(name="digits")],
    "RepositoryIndex": [inference_pb2.RepositoryIndexRequest(ready=True)],
    "RepositoryModelLoad": [inference_pb2.RepositoryModelLoadRequest(model_name="none")],
    "RepositoryModelUnload": [inference_pb2.RepositoryModelUnloadRequest(model_name="none")],
    "FetchBundle": [splitpoint_pb2.FetchBundleRequest(name="none", heads_of=["cut-01"])],
    "MeasureProfile": [splitpoint_pb2.MeasureProfileRequest(name="none", budget_s=0.1)],
    "Probe": [splitpoint_pb2.ProbeRequest(payload=b"12345", reply_bytes=100)],
    "ReportTelemetry": [splitpoint_pb2.ReportTelemetryRequest(snapshots_json=["{}"])],
    "WatchVersion": [
        splitpoint_pb2.WatchVersionRequest(edge="e", name="digits", version_digest="0")
    ],
    "FetchPart": [splitpoint_pb2.FetchPartRequest(name="digits", version_digest="0", path="a/b")],
    "SteerRollout": [splitpoint_pb2.SteerRolloutRequest(name="none", action="start", version="7")],
    "Watch": [health_pb2.HealthCheckRequest(service="")],
    "Check": [health_pb2.HealthCheckRequest(service="")],
    "ServerReflectionInfo": [reflection_pb2.ServerReflectionRequest(list_services="")],
}
"""Requests by method, of those that have fields. None names what would be fetched or measured at length."""
_ENDLESS_S = {"Watch": 0.1, "WatchVersion": 0.1}
"""Calls that stay open until their caller has seen enough: after so long."""


@dataclass
class Verdict:
    """What came of damaged requests: how often which status, and what was no clear answer."""

    inputs: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, where: str, status: str, said: str, *, clear: bool) -> None:
        """Count one answer."""
        self.inputs += 1
        self.statuses[status] += 1
        if not clear:
            self.faults.append(f"{where}: {status}: {said[:200]}")


Send = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """A way into the server: damaged inputs, and what sends one and notes what came of it."""

    name: str
    inputs: st.SearchStrategy[bytes]
    send: Send


class FuzzedServer:
    """A server in a process of its own, of the demo's bundle, and clients of both of its ports."""

    def __init__(self, bundle: Bundle, ready: dict[str, str], channel: grpc.Channel) -> None:
        self.verdict = Verdict()
        self.child = Child(int(ready["pid"]))
        self._bundle = bundle
        self._channel = channel
        self._web = httpx.Client(base_url=f"http://{ready['http']}", timeout=_PATIENCE_S)
        self._feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
        self._right = bundle.open_tail(CLOUD).run(self._feeds)
        self._good = request_for(bundle, CLOUD, self._feeds).SerializeToString()

    def answers_rightly(self) -> bool:
        """Tell whether a good request gets the answer that it got before."""
        answer = self._channel.unary_unary(INFER)(self._good, timeout=_PATIENCE_S)
        return self._is_right(ModelInferResponse.FromString(answer))

    def targets(self) -> Iterator[Target]:
        """Every method of every service, the stream, and the routes of REST."""
        for module in (inference_pb2, splitpoint_pb2, health_pb2, reflection_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    if method.name not in {"ModelInfer", "ModelStreamInfer"}:
                        samples = [one.SerializeToString() for one in SAMPLES.get(method.name, [])]
                        path = f"/{service.full_name}/{method.name}"
                        yield Target(path, damaged(samples or [b""]), self._caller(path, method))
        inferences = list(self._inferences())
        yield Target(INFER, damaged(inferences), self._caller(INFER, None))
        yield Target(STREAM, damaged(inferences), self._streamed)
        yield Target("POST JSON", damaged_documents(self._documents()), self._post_json)
        yield Target("POST binary", damaged(list(self._binaries())), self._post_binary)
        paths = [
            b"/v2/models/digits/ready",
            b"/v2/models/digits/versions/1",
            b"/v2/health/live",
            b"/metrics",
        ]
        yield Target("GET", damaged(paths), self._get)

    def _inferences(self) -> Iterator[bytes]:
        head = self._bundle.open_head("cut-04").run(self._feeds)
        for cut, values, codecs in (
            (CLOUD, self._feeds, ("raw", "jpeg")),
            ("cut-04", head, ("raw", "half", "int8", "q2", "q6")),
        ):
            for name in codecs:
                codec = get_codec(name, self._bundle.ranges)
                yield request_for(self._bundle, cut, values, codec=codec).SerializeToString()

    def _documents(self) -> list[Any]:
        tensors = [
            {
                "name": spec.name,
                "shape": list(spec.sized()),
                "datatype": spec.oip_datatype,
                "data": self._feeds[spec.name].ravel().tolist(),
            }
            for spec in self._bundle.inputs
        ]
        return [{"id": "1", "inputs": tensors, "outputs": [{"name": self._bundle.outputs[0].name}]}]

    def _binaries(self) -> Iterator[bytes]:
        """The length of the JSON in four bytes, which becomes the header, and the body."""
        spec = self._bundle.inputs[0]
        raw = self._feeds[spec.name].tobytes()
        tensor = {
            "name": spec.name,
            "shape": list(spec.sized()),
            "datatype": spec.oip_datatype,
            "parameters": {"binary_data_size": len(raw)},
        }
        document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        yield len(document).to_bytes(4, "little") + document.encode() + raw

    def _caller(self, path: str, method: Any) -> Send:
        name = path.rpartition("/")[2]
        patience_s = _ENDLESS_S.get(name, _PATIENCE_S)

        def send(data: bytes) -> None:
            try:
                if method is not None and method.client_streaming:
                    list(self._channel.stream_stream(path)(iter([data]), timeout=_PATIENCE_S))
                elif method is not None and method.server_streaming:
                    list(self._channel.unary_stream(path)(data, timeout=patience_s))
                else:
                    self._channel.unary_unary(path)(data, timeout=_PATIENCE_S)
            except grpc.RpcError as error:
                code, said = error.code().name, error.details() or ""
                ended = name in _ENDLESS_S and code == "DEADLINE_EXCEEDED"
                clear = ended or (code in _CLEAR and bool(said))
                self.verdict.note(path, code, said, clear=clear)
            else:
                self.verdict.note(path, "OK", "", clear=True)

        return send

    def _streamed(self, data: bytes) -> None:
        """Send a damaged request before a good one: each is answered, and the good one rightly."""
        found = list(
            self._channel.stream_stream(STREAM)(iter([data, self._good]), timeout=_PATIENCE_S)
        )
        errors = [decode_stream_response(one)[0] for one in found]
        right = any(self._is_right_streamed(one) for one in found)
        status = "refused in its stream" if any(errors) else "OK"
        self.verdict.note(STREAM, status, str(errors), clear=len(found) == 2 and right)

    def _post_json(self, data: bytes) -> None:
        self._posted("/v2/models/digits/infer", data, {"content-type": "application/json"})

    def _post_binary(self, data: bytes) -> None:
        length = str(int.from_bytes(data[:4], "little"))
        self._posted(
            "/v2/models/digits/infer", data[4:], {"inference-header-content-length": length}
        )

    def _posted(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        answer = self._web.post(path, content=data, headers=headers)
        self._note_web(path, answer)

    def _get(self, data: bytes) -> None:
        path = "/" + data.decode("latin-1").lstrip("/")
        try:
            answer = self._web.get(path)
        except (httpx.InvalidURL, httpx.RemoteProtocolError, UnicodeError):
            return  # the client refuses to send it
        self._note_web("GET", answer)

    def _note_web(self, where: str, answer: httpx.Response) -> None:
        is_clear = answer.status_code in _CLEAR_HTTP and (
            answer.status_code == 307 or bool(answer.content)
        )
        self.verdict.note(where, str(answer.status_code), answer.text, clear=is_clear)

    def _is_right_streamed(self, data: bytes) -> bool:
        error, header, raw = decode_stream_response(data)
        return not error and self._equals(unpack_response(header, raw))

    def _is_right(self, answer: ModelInferResponse) -> bool:
        return self._equals(unpack_response(answer, answer.raw_output_contents))

    def _equals(self, outputs: Any) -> bool:
        return all(
            np.allclose(outputs[name], array, atol=1e-5) for name, array in self._right.items()
        )


@contextmanager
def fuzzed_server(bundle: Path) -> Iterator[FuzzedServer]:
    """Run the server until the end of the block."""
    flags = ("--http", "127.0.0.1:0", "--log-level", "error", "--workers", "1")
    options = [("grpc.max_receive_message_length", -1)]
    with (
        announced(bundle, *flags) as ready,
        grpc.insecure_channel(ready["address"], options) as channel,
    ):
        yield FuzzedServer(Bundle.load(bundle), ready, channel)
