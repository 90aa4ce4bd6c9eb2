"""The gate behind mutual TLS: the device is the one of the client certificate's name."""

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
from protos.serving.callers import CALLER
from tests.kit.cloud_calls import TIMEOUT_S
from tests.kit.devices import certified, device_of, put

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
