"""A client and a server that knows its devices: no frame is lost when a device is revoked, or comes back."""

from pathlib import Path

import pytest

from cloud_server.security.registration import revoked
from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import UnauthenticatedError
from tests.kit.devices import NOW, device_of, put
from tests.kit.frames import assert_same, frames, whole


async def test_device_that_is_revoked_and_comes_back_loses_no_frame(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "devices.json"
    device, token = device_of("cam-1", "infer", models=["residual"])
    put(path, device)
    inputs = frames(residual_bundle, 3)
    async with (
        CloudServer(residual_bundle.path, devices=path) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-03", token=token.text) as client,
    ):
        results = [await client.infer(each) for each in inputs]
        assert [each.served_by for each in results] == [ServedBy.CLOUD] * 3

        put(path, revoked(device, NOW))
        await server.gate.refresh()  # type: ignore[union-attr]
        alone = [await client.infer(each) for each in inputs]
        assert [each.served_by for each in alone[1:]] == [ServedBy.EDGE] * 2
        assert isinstance(client.trouble, UnauthenticatedError)
        assert "of device cam-1 is revoked" in str(client.trouble)

        put(path, device)
        await server.gate.refresh()  # type: ignore[union-attr]
        again = await client.infer(inputs[0])
        while again.served_by is not ServedBy.CLOUD:
            assert_same(again.outputs, whole(residual_bundle, inputs[0]))
            again = await client.infer(inputs[0])
    for result, each in zip([*results, *alone], [*inputs, *inputs], strict=True):
        assert_same(result.outputs, whole(residual_bundle, each))


async def test_device_without_the_role_finishes_its_frames_alone(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "devices.json"
    device, token = device_of("cam-1", "telemetry")
    put(path, device)
    (inputs,) = frames(residual_bundle, 1)
    async with (
        CloudServer(residual_bundle.path, devices=path) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-03", token=token.text) as client,
    ):
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert_same(result.outputs, whole(residual_bundle, inputs))


async def test_token_is_in_nothing_that_a_client_says(
    residual_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    path = tmp_path / "devices.json"
    device, token = device_of("cam-1", "infer")
    put(path, revoked(device, NOW))
    (inputs,) = frames(residual_bundle, 1)
    async with (
        CloudServer(residual_bundle.path, devices=path) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-03", token=token.text) as client,
    ):
        result = await client.infer(inputs)
        said = f"{client!r} {client.trouble!r} {client.absence} {result!r} {server!r} {caplog.text}"
    assert "of device cam-1 is revoked" in said
    assert token.text not in said
    assert token.text[-64:] not in said
    assert token.digest not in said
