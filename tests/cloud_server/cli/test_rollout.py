"""`splitpoint-cloud rollout` against a server that runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cloud_server.cli.main import app
from cloud_server.cli.rollout import parse_share
from cloud_server.rollout.rollout import Refusals
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


def said(*words: str) -> str:
    """What a command prints, as one line."""
    return " ".join(invoke(*words).stdout.split())


def test_roll_out_is_started_widened_held_and_taken_back(
    versions: tuple[Bundle, Bundle], address: str
) -> None:
    cloud = ("--cloud", address)
    assert "nothing is rolled out" in said("status", *cloud)
    digest = versions[1].version_digest
    started = said("start", "net", digest[:12], "--share", "10%", *cloud)
    called = rf"version \d+ \({digest[:12]}, in {versions[1].path.name}\)"
    assert re.search(rf"net: {called} for 10% of the devices, running", started)
    assert "for 50% of the devices" in said("share", "net", "50%", *cloud)
    assert "held, by command" in said("hold", "net", *cloud)
    assert "devices, running" in said("resume", "net", *cloud)
    back = said("back", "net", *cloud)
    assert "goes back from all devices that have it, and was for 50% of them, by command" in back
    (told,) = json.loads(invoke("status", "--cloud", address, "--json").stdout)["rollouts"]
    assert (told["state"], told["share"], told["version_digest"]) == ("back", 0.5, digest)
    assert [use["devices"] for use in told["uses"]] == [0, 0]
    assert [use["folder"] for use in told["uses"]] == ["2", "1"]


def test_status_says_why_devices_refused_what_went_back(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    refusals = [Refusals(reason="cut-01 is not the whole model", devices=2)]
    with CloudServer(versions[0].path.parent, rollouts=tmp_path / "rollouts.json") as server:
        cloud = ("--cloud", server.address)
        invoke("start", "net", versions[1].version_digest, *cloud)
        server.rollouts.book.roll_back("net", "two have refused it", refusals)
        told = said("status", *cloud)
        (plain,) = json.loads(invoke("status", "--json", *cloud).stdout)["rollouts"]
    assert "two have refused it" in told
    assert "refused by 2 devices: cut-01 is not the whole model" in told
    assert plain["refusals"] == [{"reason": "cut-01 is not the whole model", "devices": 2}]


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
