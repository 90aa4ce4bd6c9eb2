"""Commands that ask a server once, by TLS and with a token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from edge_client.cloud import link_measurement
from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app as splitpoint
from protos.errors import UnauthenticatedError, UnreachableError
from tests.kit.certificates import Authority
from tests.kit.devices import enrol
from tests.kit.edge_commands import invoke


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(enrol(tmp_path / "devices.json", "camera-1", "fetch", "infer", "profile").text)
    path.chmod(0o600)
    return path


@pytest.fixture
def address(
    residual_bundle: Bundle, authority: Authority, token: Path, tmp_path: Path
) -> Iterator[str]:
    files = authority.issue()
    with CloudServer(
        residual_bundle.path,
        tls_cert=files.cert,
        tls_key=files.key,
        devices=tmp_path / "devices.json",
    ) as server:
        yield server.address


@pytest.fixture
def shown(authority: Authority, token: Path) -> tuple[Any, ...]:
    return ("--tls-ca", authority.path, "--token-file", token)


def test_link_is_measured_by_tls(
    address: str, shown: tuple[Any, ...], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_measurement, "_TRANSFERS_S", 0.01)
    found = invoke("probe", "--cloud", address, *shown, "--json")
    assert '"rtt_s"' in found.stdout
    assert isinstance(invoke("probe", "--cloud", address).exception, UnreachableError)
    stranger = invoke("probe", "--cloud", address, "--tls-ca", authority.path)
    assert isinstance(stranger.exception, UnauthenticatedError)


def test_bundle_is_fetched_by_tls(
    address: str, shown: tuple[Any, ...], residual_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    refused = invoke("fetch", "residual", "--cloud", address, "--out", out)
    assert isinstance(refused.exception, UnreachableError)
    assert invoke("fetch", "residual", "--cloud", address, "--out", out, *shown).exit_code == 0
    assert Bundle.load(out).digest == residual_bundle.digest


@pytest.mark.slow
def test_server_is_profiled_by_tls(address: str, shown: tuple[Any, ...], tmp_path: Path) -> None:
    out = tmp_path / "copy"
    invoke("fetch", "residual", "--cloud", address, "--out", out, *shown)
    words = ("profile", out, "--cloud", address, "--budget", "100ms")
    assert isinstance(
        CliRunner().invoke(splitpoint, list(map(str, words))).exception, UnreachableError
    )
    found = CliRunner().invoke(splitpoint, list(map(str, (*words, *shown))))
    assert found.exit_code == 0, found.output
    assert Bundle.load(out).profiles.joinpath("cloud.json").exists()
