"""Remarks on stderr: which server of several is in use, and why another one is not."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.cli.reports.remarks import tell_of_health, tell_of_server, tell_of_server_move
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.plain.plain_server import PlainServer
from edge_client.cloud.servers import ServerMove
from edge_client.telemetry.health import Health, State
from partitioner.bundle.bundle import Bundle
from protos.errors import DeniedError, LateError, SplitpointError, UnreachableError


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UnreachableError("no.", "refuses connections"), "refuses connections"),
        (UnreachableError("no.", "is shutting down"), "is shutting down"),
        (LateError("no."), "does not answer in time"),
        (DeniedError("no."), "does not let this edge in"),
        (None, "is away"),
    ],
)
def test_move_to_another_server_is_said_with_its_reason(
    error: SplitpointError | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_of_server_move(ServerMove("a:50051", "b:50051", error))
    assert capsys.readouterr().err == f"goes on with b:50051, as a:50051 {why}\n"


async def test_server_in_use_is_said_where_there_is_a_choice(
    residual_bundle: Bundle,
    residual_address: str,
    nobody: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with AsyncEdgeClient(residual_address, residual_bundle, "cut-03") as client:
        tell_of_server(client)
    assert capsys.readouterr().err == ""
    cloud = f"{nobody},{residual_address}"
    async with AsyncEdgeClient(cloud, residual_bundle, "cut-03") as client:
        tell_of_server(client)
    assert capsys.readouterr().err == f"of the servers, {residual_address} is in use\n"


async def test_standard_server_is_named_when_it_is_back_with_what_it_does_not_tell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = frozenset({"cloud/raw", "cut-01/raw", "cut-01/int8"})
    plain = PlainServer(
        name="triton 2.51.0",
        labels=labels,
        tells_digest=False,
        wrong=("2 of another calibration",),
    )
    server = SimpleNamespace(plain=plain)
    client: Any = SimpleNamespace(server=server, cloud_is_away=False, trouble=None)
    await tell_of_health(client, State(Health.DEGRADED, "the cloud was away", 0.0))
    assert "triton" not in capsys.readouterr().err
    await tell_of_health(client, State(Health.HEALTHY, "all is well", 0.0))
    said = " ".join(capsys.readouterr().err.split())
    assert "the cloud is triton 2.51.0, a standard server: it serves 3 cuts with codecs" in said
    assert "whose weights it does not tell; left alone: 2 of another calibration" in said
    server.plain = None
    await tell_of_health(client, State(Health.HEALTHY, "all is well", 0.0))
    assert "standard server" not in capsys.readouterr().err
