"""A local server that speaks TLS to programs of other machines."""

import logging
from pathlib import Path

import grpc.aio
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.local_server import LocalServer
from partitioner.bundle.bundle import Bundle
from protos.errors import CredentialError, UsageError
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import DAY, Authority
from tests.kit.cloud_calls import TIMEOUT_S
from tests.kit.frames import frames
from tests.kit.local_calls import agrees, request_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


async def test_program_asks_by_tls_and_shows_its_certificate(
    residual_bundle: Bundle, authority: Authority
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    own = authority.issue("program", name="program")
    trusted = ChannelSecurity(files=TlsFiles(own.cert, own.key, authority.path))
    unknown = ChannelSecurity(files=TlsFiles(authorities=authority.path))
    request = request_of(residual_bundle, inputs)
    async with (
        AsyncEdgeClient(None, residual_bundle, "edge") as client,
        LocalServer(client, tls=authority.issue(clients=authority.path)) as server,
    ):
        async with Endpoint(server.address, trusted).open_async() as channel:
            answer = await GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
        agrees(answer, residual_bundle, inputs)
        for stranger in (unknown, ChannelSecurity()):
            async with Endpoint(server.address, stranger).open_async() as channel:
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    await GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)


async def test_edge_can_be_another_edges_cloud_by_tls(
    residual_bundle: Bundle, authority: Authority
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        AsyncEdgeClient(None, residual_bundle, "edge") as near,
        LocalServer(near, tls=authority.issue()) as server,
        AsyncEdgeClient(
            server.address, residual_bundle, "cloud", tls_ca=authority.path, on_failure="fail"
        ) as far,
    ):
        assert (await far.infer(inputs)).served_by == "cloud"


async def test_local_server_beyond_this_machine_says_what_it_is_open_to(
    residual_bundle: Bundle, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
        with pytest.raises(UsageError, match="Give `listen_tls_cert` and `listen_tls_key`"):
            await LocalServer(client, "0.0.0.0:0").start()
        async with LocalServer(client, "0.0.0.0:0", insecure=True) as server:
            port = server.address.rpartition(":")[2]
        old = authority.issue(valid=(-9 * DAY, -DAY))
        with pytest.raises(CredentialError, match="expired on"):
            await LocalServer(client, tls=old).start()
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.startswith(f"INSECURE: 0.0.0.0:{port}") for each in warned] == [True]
