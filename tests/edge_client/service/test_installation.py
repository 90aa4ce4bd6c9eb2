"""A service comes to a machine and goes: whole, or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest

from edge_client.service import installation, unit
from edge_client.service.installation import check_machine, check_reach, install, remove
from edge_client.service.unit import MARK, ServiceUnit
from protos.errors import FileError, UsageError
from tests.kit.edge_commands import invoke


class Systemd:
    """Hears what systemctl is told, and refuses one word."""

    def __init__(self, refuses: str = "") -> None:
        self.told: list[str] = []
        self._refuses = refuses

    def __call__(self, *words: str) -> str:
        self.told.append(" ".join(words))
        if words[0] == self._refuses:
            raise FileError(f"systemctl {words[0]} fails")
        return "systemd 252 (252.38)"


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceUnit:
    """A unit whose bundle and token are there; all else lies where everybody may read."""
    monkeypatch.setattr(unit, "STATES", tmp_path)
    (tmp_path / "edge" / "digits").mkdir(parents=True)
    (tmp_path / "token").write_text("secret")
    return made(tmp_path)


def made(folder: Path, **written: Any) -> ServiceUnit:
    told = {"bundle": "digits", "token_file": str(folder / "token"), **written}
    return ServiceUnit(
        name="edge",
        program=Path("/bin/sh"),
        command="run",
        config=Path("/etc/passwd"),
        written=told,
    )


def test_unit_is_written_and_started_now_and_at_every_boot(
    found: ServiceUnit, tmp_path: Path
) -> None:
    systemd = Systemd()
    path = install(found, tmp_path, systemd)
    assert path.read_text() == found.text
    assert path.stat().st_mode & 0o777 == 0o644
    assert systemd.told == ["daemon-reload", "enable edge.service", "restart edge.service"]
    assert remove("edge", tmp_path, systemd) == path
    assert systemd.told[3:] == ["disable --now edge.service", "daemon-reload"]
    assert not path.exists()


@pytest.mark.parametrize("word", ["daemon-reload", "enable", "restart"])
def test_installation_that_fails_leaves_what_was_there(
    found: ServiceUnit, tmp_path: Path, word: str
) -> None:
    path = tmp_path / "edge.service"
    with pytest.raises(FileError, match=f"systemctl {word} fails"):
        install(found, tmp_path, Systemd(word))
    assert not path.exists()
    path.write_text(f"{MARK}\n# of before\n")
    with pytest.raises(FileError, match=f"systemctl {word} fails"):
        install(found, tmp_path, Systemd(word))
    assert path.read_text() == f"{MARK}\n# of before\n"
    assert not list(tmp_path.glob(".*"))


def test_unit_of_somebody_else_stays(found: ServiceUnit, tmp_path: Path) -> None:
    path = tmp_path / "edge.service"
    path.write_text("[Unit]\n")
    systemd = Systemd()
    for change in (
        lambda: install(found, tmp_path, systemd),
        lambda: remove("edge", tmp_path, systemd),
    ):
        with pytest.raises(FileError, match="was not written by splitpoint-edge"):
            change()
    assert (path.read_text(), systemd.told) == ("[Unit]\n", [])
    with pytest.raises(FileError, match="there is no service other"):
        remove("other", tmp_path, systemd)


def test_what_the_service_could_not_reach_is_told_before_anything_is_written(
    found: ServiceUnit, tmp_path: Path
) -> None:
    check_reach(found)
    with pytest.raises(UsageError, match="lies in /tmp, which a service does not see"):
        check_reach(found, Path("/tmp"))
    with pytest.raises(FileError, match=r"/nowhere cannot be used: No such file"):
        check_reach(found, Path("/nowhere"))
    (tmp_path / "token").unlink()
    with pytest.raises(FileError, match=r"there is no file .*/token, which token-file names"):
        check_reach(found)
    with pytest.raises(FileError, match=r"Fetch it first: splitpoint-edge fetch NAME"):
        check_reach(made(tmp_path, bundle="other", token_file=None))


def test_folder_that_others_may_not_enter_is_named(
    found: ServiceUnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_HIDDEN", ())
    closed = tmp_path / "closed"
    (closed / "labels").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(
        installation,
        "_is_open",
        lambda path, ask=installation._is_open: path != closed or ask(path),
    )  # the folders of tests are closed, too
    with pytest.raises(FileError, match=f"chmod o\\+rX {closed}"):
        check_reach(found, closed / "labels")
    closed.chmod(0o755)
    check_reach(found, closed / "labels")


def test_service_is_roots_to_install_and_systemd_has_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="Say it with sudo"):
        check_machine(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    check_machine(tmp_path)
    with pytest.raises(UsageError, match="systemd does not run this machine"):
        check_machine(tmp_path / "none")


def test_dry_run_shows_the_unit_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("edge_client.cli.service._program", lambda: Path("/bin/sh"))
    monkeypatch.setattr("edge_client.cli.service._packages", lambda: ())
    monkeypatch.setattr(installation, "version_of_systemd", lambda: 252)
    monkeypatch.setattr(installation, "_check_seen", lambda _: None)  # folders of tests are closed
    monkeypatch.setattr(unit, "STATES", tmp_path)
    (tmp_path / "splitpoint-edge" / "digits").mkdir(parents=True)
    (token := tmp_path / "token").write_text("secret")
    config = tmp_path / "edge.toml"
    settings = 'cloud = "10.0.0.2:1"\nbundle = "digits"\nsource = "0"\ninsecure = true\n'
    config.write_text(f'{settings}token-file = "{token}"\n')
    words = ("service", "install", "--config", config)
    shown = invoke(*words, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(MARK)
    assert f"ExecStart=/bin/sh run --config {config} --token-file " in shown.stdout
    assert "would write /etc/systemd/system/splitpoint-edge.service" in shown.stderr
    assert "Say it with sudo" in str(invoke(*words).exception)
    assert "Say it with sudo" in str(invoke("service", "remove").exception)
    assert invoke("service", "remove", "--dry-run").exit_code == 0
    token.unlink()
    shown = invoke(*words, "--dry-run")
    assert f"there is no file {token}, which token-file names" in str(shown.exception)
    assert shown.stdout.startswith(MARK)


def test_settings_that_cannot_be_are_told_before_the_service_fails_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('bundle = "digits"\nsource = "0"\nwindw = 4\n')
    words = ("service", "install", "--config", config, "--dry-run")
    assert "windw" in str(invoke(*words).exception)
    monkeypatch.setenv("SPLITPOINT_EDGE_CLOUD", "10.0.0.2:1")
    assert "SPLITPOINT_EDGE_CLOUD is set here" in str(invoke(*words).exception)
    monkeypatch.delenv("SPLITPOINT_EDGE_CLOUD")
    assert "no command of a service" in str(invoke(*words, "--command", "fetch").exception)
