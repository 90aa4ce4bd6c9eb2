"""The gate behind mutual TLS: the device is the one of the client certificate's name."""

import queue
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from cloud_server.security.gate import Gate
from cloud_server.security.grpc_gate import GrpcGate
from cloud_server.security.registered_device import Limits
from cloud_server.security.registration import revoked
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.tls_files import TlsFiles
from protos.serving.callers import CALLER
from protos.wire.framing import decode_stream_response
from tests.kit.certificates import Authority
from tests.kit.cloud_calls import STREAM, TIMEOUT_S, crossing, oip_stub, refused, request_for
from tests.kit.devices import NOW, certified, device_of, put

METHOD = "/inference.GRPCInferenceService/ServerMetadata"

Ask = Callable[..., Any]


class Echo(grpc.GenericRpcHandler):
    """Answers every call with the name of its caller."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        async def call(_request: bytes, _context: Any) -> bytes:
            return CALLER.get().encode()

        return grpc.unary_unary_rpc_method_handler(call)


@pytest.fixture
def behind_tls(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Ask]]:
    """A server behind mutual TLS with these devices, and what asks it for the caller's name."""
    authority = trustme.CA()

    @asynccontextmanager
    async def serve(*devices: Any) -> AsyncIterator[Ask]:
        put(tmp_path / "devices.json", *devices)
        gate = Gate(tmp_path / "devices.json", Limits())
        server = grpc.aio.server(handlers=[Echo()], interceptors=[GrpcGate(gate)])
        own = authority.issue_cert("localhost")
        root = authority.cert_pem.bytes()
        pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
        port = server.add_secure_port(
            "localhost:0", grpc.ssl_server_credentials([pair], root, require_client_auth=True)
        )
        await server.start()

        async def ask(*names: str, token: str = "", **more: Any) -> str:
            shown = authority.issue_cert(*names, **more)
            credentials = grpc.ssl_channel_credentials(
                root, shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes()
            )
            metadata = [("authorization", f"Bearer {token}")] if token else []
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                try:
                    answer = await channel.unary_unary(METHOD)(
                        b"", metadata=metadata, timeout=TIMEOUT_S
                    )
                except grpc.aio.AioRpcError as error:
                    return f"{error.code().name}: {error.details()}"
            return str(answer.decode())

        try:
            yield ask
        finally:
            await server.stop(None)

    return serve


async def test_device_is_the_name_of_its_certificate(behind_tls: Any) -> None:
    async with behind_tls(certified("cam-1"), certified("cam-2")) as ask:
        assert await ask("cam-1") == "cam-1"
        assert await ask("other.lan", common_name="cam-2") == "cam-2"
        assert (await ask("cam-3")).startswith("UNAUTHENTICATED: the client certificate is of no ")
        assert "of the devices cam-1 and cam-2" in await ask("cam-1", "cam-2")


async def test_token_says_who_calls_where_both_are_shown(behind_tls: Any) -> None:
    device, token = device_of("by-token")
    async with behind_tls(device, certified("cam-1")) as ask:
        assert await ask("cam-1", token=token.text) == "by-token"
        assert "does not know the token" in await ask("cam-1", token="spt_wrong")
        assert (await ask("by-token")).startswith("UNAUTHENTICATED")


def test_server_with_tls_knows_a_device_by_its_certificate_and_ends_its_stream_once_it_is_revoked(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    path, authority = tmp_path / "devices.json", Authority(tmp_path / "ours")
    camera = certified("camera-1", "infer")
    put(path, camera)
    own = authority.issue(clients=authority.path)
    data = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))

    def connected(address: str, name: str) -> grpc.Channel:
        shown = authority.issue(name, name=name)
        files = TlsFiles(shown.cert, shown.key, authority.path)
        return Endpoint(address, ChannelSecurity(files=files)).open()

    with CloudServer(
        residual_bundle.path,
        devices=path,
        tls_cert=own.cert,
        tls_key=own.key,
        tls_client_ca=authority.path,
    ) as server:
        with connected(server.address, "camera-2") as channel:
            code, details = refused(lambda: oip_stub(channel).ModelInfer(data, timeout=TIMEOUT_S))
            assert (code, "is of no device" in details) == ("UNAUTHENTICATED", True)
        with connected(server.address, "camera-1") as channel:
            assert oip_stub(channel).ModelInfer(data, timeout=TIMEOUT_S).outputs
            requests: queue.Queue[bytes | None] = queue.Queue()
            stream = channel.stream_stream(STREAM)(iter(requests.get, None), timeout=TIMEOUT_S)
            requests.put(data.SerializeToString())
            assert decode_stream_response(next(stream))[0] == ""
            put(path, revoked(camera, NOW))  # and nobody tells the server
            code, details = refused(lambda: next(stream))
            assert (code, details) == ("UNAUTHENTICATED", "device camera-1 is revoked.")
            requests.put(None)
