"""The command `splitpoint-edge`: what it prints, writes and ends with."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from protos.errors import FileError, UnknownNameError
from tests.kit.edge_commands import command, invoke, running


def test_errors_are_sentences_and_exit_statuses(image_bundle: Bundle, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command("run", "--cloud", nobody, "--bundle", image_bundle.path, "--source", folder,
                    "--cut", "cloud", "--on-failure", "fail"),
            capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "500"},
        )  # fmt: skip
    assert done.returncode == 4
    assert f"error: no cloud server answers at {nobody}" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_fetched_bundle_is_the_servers(image_bundle: Bundle, address: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "copy"
    done = invoke("fetch", image_bundle.name, "--cloud", address, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == image_bundle.digest
    assert Bundle.load(out).digest == image_bundle.digest
    again = invoke("fetch", image_bundle.name, "--cloud", address, "--out", out)
    assert isinstance(again.exception, FileError)  # as of import, whose folder exists
    missing = invoke("fetch", "nothing", "--cloud", address, "--out", tmp_path / "x")
    assert isinstance(missing.exception, UnknownNameError)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]  # nothing half-written
    assert [path.name for path in out.parent.iterdir()] == ["copy"]


def test_probe_prints_the_link(address: str) -> None:
    done = invoke("probe", "--cloud", address, "--json")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) == {"uplink_bps", "downlink_bps", "rtt_s", "rtt_min_s"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_link_relays_until_it_is_told_to_stop(address: str, number: signal.Signals) -> None:
    with running(
        "link", "--listen", "127.0.0.1:0", "--to", address, "--bandwidth", "100mbit", "--json"
    ) as relay:
        ready = json.loads(relay.stdout.readline())
        assert invoke("probe", "--cloud", ready["listen"]).exit_code == 0
        relay.send_signal(number)
        notes = relay.stderr.read()
    assert (relay.returncode, notes) == (0, "")


@pytest.mark.parametrize("name", ["run", "fetch", "probe", "link"])
def test_help_shows_an_example(name: str) -> None:
    assert f"Example: splitpoint-edge {name}" in " ".join(invoke(name, "--help").stdout.split())
