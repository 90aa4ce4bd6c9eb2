"""A unit of systemd: what it says, and what it refuses to say."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge_client.service.unit import MARK, STATES, ServiceUnit
from protos.errors import UsageError


def unit(**written: Any) -> ServiceUnit:
    return ServiceUnit(
        name="splitpoint-edge",
        program=Path("/bin/sh"),
        command="run",
        config=Path("/etc/splitpoint/edge.toml"),
        written={"bundle": "digits", "source": "0", **written},
    )


def value(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_secrets_are_handed_over_and_named_where_they_then_lie() -> None:
    text = unit(token_file="/etc/splitpoint/token", tls_key="cam.key", tls_cert="none").text
    assert value(text, "LoadCredential") == [
        "token_file:/etc/splitpoint/token",
        f"tls_key:{STATES}/splitpoint-edge/cam.key",
    ]
    (start,) = value(text, "ExecStart")
    assert start == (
        "/bin/sh run --config /etc/splitpoint/edge.toml --token-file ${CREDENTIALS_DIRECTORY}/token_file "
        "--tls-key ${CREDENTIALS_DIRECTORY}/tls_key"
    )


def test_what_does_not_pass_by_itself_is_not_started_again_and_the_rest_however_often() -> None:
    text = unit().text
    assert value(text, "RestartPreventExitStatus") == ["2 3 5 6 7 203 243"]
    assert value(text, "Restart") == ["on-failure"]
    assert value(text, "StartLimitIntervalSec") == ["0"]
    assert "StartLimitBurst" not in text
    assert value(text, "RestartSec") == ["30s"]
    assert "RestartSteps" not in text  # systemd before 254 would warn at every boot
    newer = ServiceUnit(
        name="cam", program=Path("/bin/sh"), command="run", config=Path("/c"), version=254
    )
    assert value(newer.text, "RestartSec") == ["10s"]
    assert value(newer.text, "RestartMaxDelaySec") == ["5min"]


def test_camera_is_let_through_and_so_is_a_gpu_where_one_computes() -> None:
    assert value(unit().text, "DeviceAllow") == ["char-video4linux rw"]
    assert value(unit(provider="CUDAExecutionProvider").text, "DevicePolicy") == []


def test_paths_without_a_folder_begin_in_the_services_own() -> None:
    found = unit(output="records.jsonl", labels="/srv/labels.csv", source="frames")
    assert found.place_of("bundle") == STATES / "splitpoint-edge" / "digits"
    assert found.reads == [Path("/etc/splitpoint/edge.toml"), Path("/srv/labels.csv")]
    with pytest.raises(UsageError, match=r"output is /srv/r\.jsonl, and the service may write in"):
        unit(output="/srv/r.jsonl")
    for source in ("0", "/dev/video0", "rtsp://cam/1"):
        assert unit(source=source).reads == [Path("/etc/splitpoint/edge.toml")]


@pytest.mark.parametrize("text", ["a b", "50%", "$HOME", "a\nExecStartPre=/bin/rm", 'a"'])
def test_path_that_a_unit_would_read_in_another_way_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="characters that a unit would read in another way"):
        unit(token_file=f"/etc/{text}")


@pytest.mark.parametrize("name", ["", "Cam", "../x", "a.service", "-a", "a" * 49])
def test_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a service"):
        ServiceUnit(name=name, program=Path("/bin/sh"), command="run", config=Path("/c"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    path = tmp_path / "splitpoint-edge.service"
    path.write_text(unit(token_file="/etc/splitpoint/token").text)
    assert path.read_text().startswith(MARK)
    command = ["systemd-analyze", "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) not in done.stderr  # where it complains of a line
