"""How a unit comes to a machine and goes: checked first, and as before where something fails."""

import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_client.service.unit import MARK, ServiceUnit
from partitioner.common.files import whole_file
from protos.errors import FileError, UsageError, reason

UNITS: Final = Path("/etc/systemd/system")
RUNS: Final = Path("/run/systemd/system")
"""There where systemd runs, as sd_booted(3) has it."""
_HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
"""What a unit with ProtectHome= and PrivateTmp= does not see."""

Systemctl = Callable[..., str]
"""Runs systemctl with these words, and returns what it says; FileError where it fails."""


def systemctl(*words: str) -> str:
    """Run systemctl."""
    try:
        command = ["systemctl", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise UsageError(
            f"systemctl cannot be run: {reason(error)}. Is systemd installed?"
        ) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
        raise FileError(
            f"systemctl {' '.join(words)} fails: {said.rstrip('.')}. Look at: journalctl -xe."
        )
    return done.stdout


def version_of_systemd(ask: Systemctl = systemctl) -> int:
    """Return the number of systemd's version; 0 where it cannot be asked."""
    try:
        found = re.search(r"systemd (\d+)", ask("--version"))
    except (FileError, UsageError):
        return 0
    return int(found[1]) if found else 0


def check_machine(runs: Path = RUNS) -> None:
    """Raise UsageError unless this is root, on a machine that systemd runs."""
    if os.geteuid() != 0:
        raise UsageError(
            "a service of the machine is root's to install and remove. Say it with sudo; --dry-run shows "
            "what would be done."
        )
    if not runs.is_dir():
        raise UsageError(
            "systemd does not run this machine. In a container, let what runs it start splitpoint-edge run "
            "again; --dry-run shows the unit."
        )


def check_reach(unit: ServiceUnit, *packages: Path) -> None:
    """Raise UsageError or FileError unless the service can read what it needs, `packages` too."""
    for path in (unit.program, *packages, *unit.reads):
        _check_seen(path)
    for key, path in unit.credentials.items():
        _check_credential(key.replace("_", "-"), path)
    if not (bundle := unit.place_of("bundle")) or not bundle.is_dir():
        raise FileError(
            f"there is no bundle {bundle}. Fetch it first: splitpoint-edge fetch NAME --cloud HOST:PORT "
            f"--out {bundle}."
        )


def install(
    unit: ServiceUnit, folder: Path = UNITS, ask: Systemctl = systemctl, *packages: Path
) -> Path:
    """Write a unit, and start it now and at every boot; return its file. What fails leaves all as before."""
    check_reach(unit, *packages)
    path = folder / unit.file_name
    before = _known(path)
    with whole_file(path) as partial:
        partial.write_text(unit.text)
        partial.chmod(0o644)
    try:
        ask("daemon-reload")
        ask("enable", unit.file_name)
        ask("restart", unit.file_name)
    except BaseException:
        _restore(path, before, ask)
        raise
    return path


def remove(name: str, folder: Path = UNITS, ask: Systemctl = systemctl) -> Path:
    """Stop a service of ours, for this boot and all others, and remove its unit; return what was its file."""
    path = folder / f"{name}.service"
    if _known(path) is None:
        raise FileError(f"there is no service {name}: {path} is not there. Nothing is removed.")
    ask("disable", "--now", path.name)
    try:
        path.unlink()
    except OSError as error:
        raise FileError(f"{path} cannot be removed: {reason(error)}. Remove it by hand.") from error
    ask("daemon-reload")
    return path


def _known(path: Path) -> str | None:
    """Return what a unit of ours says; None where there is none, FileError where it is another's."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {reason(error)}.") from error
    if not text.startswith(MARK):
        raise FileError(
            f"{path} was not written by splitpoint-edge service install, and stays. Give another `name`, or "
            "remove it by hand."
        )
    return text


def _restore(path: Path, before: str | None, ask: Systemctl) -> None:
    if before is None:
        words: tuple[tuple[str, ...], ...] = (("disable", "--now", path.name),)
    else:
        words = (("daemon-reload",), ("restart", path.name))
        with whole_file(path) as partial:
            partial.write_text(before)
    for each in words:
        _try(ask, *each)
    if before is None:
        path.unlink(missing_ok=True)
        _try(ask, "daemon-reload")


def _try(ask: Systemctl, *words: str) -> None:
    try:
        ask(*words)
    except (FileError, UsageError):
        return  # the first failure is the one to tell of


def _check_credential(setting: str, path: Path) -> None:
    """Raise FileError unless systemd finds the file that a setting names."""
    try:
        there = path.is_file()
    except OSError as error:
        raise FileError(
            f"{path}, which {setting} names, cannot be looked at: {reason(error)}. Say it with sudo."
        ) from error
    if not there:
        raise FileError(
            f"there is no file {path}, which {setting} names. Put it there; systemd hands it to the service, "
            "so that root alone need read it."
        )


def _check_seen(path: Path) -> None:
    """Raise an error unless a service of no user in particular sees a file or folder."""
    found = path.resolve()
    if hidden := next((one for one in _HIDDEN if found.is_relative_to(one)), None):
        raise UsageError(
            f"{path} lies in {hidden}, which a service does not see. Put it elsewhere: the program into "
            "/opt (python3 -m venv /opt/splitpoint), settings into /etc, a bundle into the service's own "
            "folder in /var/lib."
        )
    try:
        closed = next((one for one in (found, *found.parents) if not _is_open(one)), None)
    except OSError as error:
        raise FileError(f"{path} cannot be used: {reason(error)}. Give what is there.") from error
    if closed is not None:
        raise FileError(
            f"{path} is closed to a service, which runs as a user of its own: {closed} lets others not in. "
            f"Open it: chmod o+rX {closed}."
        )


def _is_open(path: Path) -> bool:
    mode = path.stat().st_mode
    wanted = stat.S_IROTH | stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    return mode & wanted == wanted
