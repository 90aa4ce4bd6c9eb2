"""The commands `splitpoint-edge service install` and `remove`: the edge as a service of this machine."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import OUTPUT, SETTINGS
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from edge_client.service.unit import ServiceUnit

app = new_app(help="Run the edge as a service of this machine, by systemd.")

_NAME = "splitpoint-edge"
Name = Annotated[str, flag("The service's name.", "NAME", "--name", panel=OUTPUT)]
DryRun = Annotated[
    bool, flag("Show what would be done, and do nothing.", None, "--dry-run", panel=OUTPUT)
]


@app.command()
def install(
    config: Annotated[
        Path,
        flag(
            "The settings: bundle, cloud and the others, as a TOML file. Paths without a folder begin in "
            "the service's own, /var/lib/NAME.",
            "FILE.toml",
            panel=SETTINGS,
        ),
    ],
    command: Annotated[
        str,
        flag(
            "run (a source's frames) or serve (programs of this machine).",
            "run|serve",
            panel=SETTINGS,
            choices=lambda: ("run", "serve"),
        ),
    ] = "run",
    name: Name = _NAME,
    dry_run: DryRun = False,
) -> None:
    """Run splitpoint-edge with these settings from now on and at every boot, started again when it fails.

    The service has a user of its own, sees no home, and writes in /var/lib/NAME alone. Secrets that the
    settings name (token, certificate, key) may be root's: systemd hands them over at each start. With
    --dry-run, files that are missing are an error as well, after the unit was shown.

    Example: sudo splitpoint-edge service install --config /etc/splitpoint/edge.toml
    """
    from edge_client.service.installation import UNITS, check_machine, check_reach, systemctl
    from edge_client.service.installation import install as put

    unit = _unit(name, command, config.absolute())
    path = UNITS / unit.file_name
    if dry_run:
        console.remark(f"would write {path}, and say: systemctl daemon-reload, enable, restart")
        console.screen.print(unit.text, markup=False, soft_wrap=True, end="")
        check_reach(
            unit, *_packages()
        )  # what would keep it from being installed is an error here, too
        return
    check_machine()
    put(unit, UNITS, systemctl, *_packages())
    console.remark(
        f"{unit.file_name} is started, now and at every boot. Look at it with: systemctl status {name}; "
        f"journalctl -fu {name}."
    )


@app.command()
def remove(name: Name = _NAME, dry_run: DryRun = False) -> None:
    """Stop the service, and remove its unit; its settings and its folder stay.

    Example: sudo splitpoint-edge service remove
    """
    from edge_client.service.installation import UNITS, check_machine
    from edge_client.service.installation import remove as take
    from edge_client.service.unit import STATES

    if dry_run:
        path = UNITS / f"{name}.service"
        console.remark(f"would say systemctl disable --now, remove {path}, and daemon-reload")
        return
    check_machine()
    take(name)
    console.remark(
        f"{name} is gone; {STATES / name} stays, with its bundle. Remove it if you like."
    )


def _unit(name: str, command: str, config: Path) -> "ServiceUnit":
    from edge_client.cli.settings import PROGRAM
    from edge_client.service.installation import version_of_systemd
    from edge_client.service.unit import ServiceUnit
    from partitioner.settings.loader import Loaded, load

    if command not in PROGRAM.commands:
        raise UsageError(f"{command!r} is no command of a service. Give run or serve.")
    told = [key for key in os.environ if key.startswith(PROGRAM.prefix)]
    if told:
        raise UsageError(
            f"{told[0]} is set here, and the service will not have it. Put it into {config}, and unset it."
        )
    loaded: Loaded[object] = load(PROGRAM, PROGRAM.commands[command], {}, config)
    return ServiceUnit(
        name=name,
        program=_program(),
        command=command,
        config=config,
        written=loaded.written,
        version=version_of_systemd(),
    )


def _program() -> Path:
    """Return the program beside this interpreter."""
    found = Path(sys.executable).with_name("splitpoint-edge")
    if not found.exists():
        raise UsageError(
            f"there is no {found}. Install splitpoint where a service finds it: python3 -m venv "
            "/opt/splitpoint, and /opt/splitpoint/bin/pip install splitpoint."
        )
    return found


def _packages() -> tuple[Path, ...]:
    """Return what the program needs beside itself: its interpreter, and this package."""
    return Path(sys.executable), Path(__file__).parents[1]
