"""Remarks on stderr: which server of several is in use, and why another one is not."""

import pytest

from edge_client.cli.reports.remarks import tell_of_server, tell_of_server_move
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.servers import ServerMove
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
