"""A server whose files an orchestrator has mounted: links to a folder that is replaced as a whole."""

import asyncio
import json
import os
import stat
from pathlib import Path

from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.rollout.rollout_book import RolloutBook
from cloud_server.security.gate import Gate
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelReadyRequest
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.cloud_calls import connected, oip_stub, refused
from tests.kit.devices import enrol, showing
from tests.kit.signatures import Signer

READABLE = stat.S_IRUSR | (stat.S_IRGRP if os.geteuid() == 0 else 0)
"""As secrets of root are that the server's group may read."""


def mount(folder: Path, files: dict[str, bytes]) -> Path:
    """Lay files as the kubelet does, also over those that are there: in one step, and never in place."""
    folder.mkdir(exist_ok=True)
    held = folder / f"..{len(list(folder.glob('..[0-9]*')))}"
    held.mkdir()
    for name, content in files.items():
        (held / name).write_bytes(content)
        (held / name).chmod(READABLE)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(held.name)
    (folder / "..new").rename(folder / "..data")
    return folder


def pair(files: TlsFiles) -> dict[str, bytes]:
    assert files.cert is not None
    assert files.key is not None
    return {"tls.crt": files.cert.read_bytes(), "tls.key": files.key.read_bytes()}


async def test_mounted_certificates_keys_and_rollouts_are_taken(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    authority, signer = Authority(tmp_path / "ca"), Signer.new(tmp_path / "signer")
    tls = mount(tmp_path / "tls", pair(authority.issue()) | {"ca.crt": authority.path.read_bytes()})
    probe = mount(tmp_path / "probe", pair(authority.issue("probe", name="probe")))
    keys = {path.name: path.read_bytes() for path in signer.trusted.iterdir()}
    book = RolloutBook(tmp_path / "rollouts.json")
    book.start("residual", "b" * 64, "a" * 64, 0.1)
    rollouts = mount(tmp_path / "rollouts", {"rollouts.json": book.path.read_bytes()})
    (tmp_path / "bundles").mkdir()
    signer.signed_copy(residual_bundle, tmp_path / "bundles" / "residual")
    async with CloudServer(
        tmp_path / "bundles",
        tls_cert=tls / "tls.crt",
        tls_key=tls / "tls.key",
        tls_client_ca=tls / "ca.crt",
        trusted_keys=mount(tmp_path / "keys", keys),
        require_signature=True,
        rollouts=rollouts / "rollouts.json",
    ) as server:
        words = ["health", "--json", "--cloud", server.address, "--tls-ca", str(tls / "ca.crt")]
        shows = ["--tls-cert", str(probe / "tls.crt"), "--tls-key", str(probe / "tls.key")]
        asked = await asyncio.to_thread(CliRunner().invoke, app, [*words, *shows])
        assert json.loads(asked.stdout)["status"] == "SERVING"
        assert (await asyncio.to_thread(CliRunner().invoke, app, words)).exit_code == 1
        assert server.rollouts.book.find("residual") == book.find("residual")


async def test_mounted_devices_are_taken_and_those_of_the_next_mount(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "devices.json"
    token = enrol(file, "camera", "infer")
    devices = mount(tmp_path / "devices", {"devices.json": file.read_bytes()})
    ask = ModelReadyRequest(name="residual")
    async with CloudServer(residual_bundle.path, devices=devices / "devices.json") as server:
        with connected(server.address) as channel:
            stub = oip_stub(showing(channel, token))
            assert (await asyncio.to_thread(stub.ModelReady, ask)).ready
            file.unlink()
            other = enrol(file, "other", "infer")
            mount(devices, {"devices.json": file.read_bytes()})
            assert isinstance(server.gate, Gate)
            await server.gate.refresh()
            code, _ = await asyncio.to_thread(refused, lambda: stub.ModelReady(ask))
            assert code == "UNAUTHENTICATED"
            stub = oip_stub(showing(channel, other))
            assert (await asyncio.to_thread(stub.ModelReady, ask)).ready
