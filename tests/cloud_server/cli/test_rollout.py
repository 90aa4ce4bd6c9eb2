"""`splitpoint-cloud rollout` against a server that runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cloud_server.cli.main import app
from cloud_server.cli.rollout import parse_share
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import UnknownNameError, UnreachableError, UsageError
from tests.kit.sockets import free_port
from tests.kit.versions import make_version


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return make_version(folder / "1", 0), make_version(folder / "2", 1)


@pytest.fixture
def address(versions: tuple[Bundle, Bundle], tmp_path: Path) -> Iterator[str]:
    options: dict[str, Any] = {"rollouts": tmp_path / "rollouts.json"}
    with CloudServer(versions[0].path.parent, **options) as server:
        yield server.address


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["rollout", *words])


def test_roll_out_is_started_widened_held_and_taken_back(
    versions: tuple[Bundle, Bundle], address: str
) -> None:
    assert "nothing is rolled out" in invoke("status", "--cloud", address).stdout
    digest = versions[1].version_digest
    started = invoke("start", "net", digest[:12], "--share", "10%", "--cloud", address)
    assert f"net: version {digest[:12]} for 10% of the devices, running" in started.stdout
    assert "for 50% of the devices" in invoke("share", "net", "50%", "--cloud", address).stdout
    assert "held, by command" in invoke("hold", "net", "--cloud", address).stdout
    assert "devices, running" in invoke("resume", "net", "--cloud", address).stdout
    back = invoke("back", "net", "--cloud", address).stdout
    said = "goes back from all devices that have it, and was for 50% of them, by command"
    assert said in " ".join(back.split())
    (told,) = json.loads(invoke("status", "--cloud", address, "--json").stdout)["rollouts"]
    assert (told["state"], told["share"], told["version_digest"]) == ("back", 0.5, digest)
    assert [use["devices"] for use in told["uses"]] == [0, 0]


def test_what_cannot_be_steered_is_said(address: str) -> None:
    assert isinstance(invoke("back", "net", "--cloud", address).exception, UnknownNameError)
    missing = invoke("start", "net", "7", "--cloud", address).exception
    assert isinstance(missing, UnknownNameError)
    away = invoke("status", "--cloud", f"127.0.0.1:{free_port()}").exception
    assert isinstance(away, UnreachableError)


def test_share_is_written_in_two_ways() -> None:
    assert [parse_share(text) for text in ("10%", "0.1", "1", "100%", "0")] == [0.1, 0.1, 1, 1, 0]
    for wrong in ("10", "-1%", "much", "nan", "101%"):
        with pytest.raises(UsageError, match="no share"):
            parse_share(wrong)
