"""A unit of systemd that runs the edge: its text, and what it may reach."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from partitioner.common.defaults import DEFAULT_PROVIDER
from protos.errors import UsageError

MARK: Final = "# Written by: splitpoint-edge service install"
"""The first line of a unit; what does not begin with it is somebody else's."""
STATES: Final = Path("/var/lib")
SECRETS: Final = (
    "token_file",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "listen_tls_cert",
    "listen_tls_key",
    "listen_tls_client_ca",
)
"""Settings whose files systemd hands to the service, which could not read them itself."""
WRITTEN: Final = ("output", "heartbeat", "save_outputs", "state")
"""Settings of files and folders that the service writes."""
READ: Final = ("bundle", "labels", "trusted_keys")
"""Settings of what it reads in place."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,47}")
_PLAIN: Final = re.compile(r"[\w./+@-]+", re.ASCII)
_BACKS_OFF: Final = 254
"""The version of systemd from which pauses between restarts can grow."""

_TEXT: Final = """\
{mark}
[Unit]
Description=Splitpoint edge ({command})
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={start}
Restart=on-failure
{pauses}# 130 is SIGTERM's; the others do not pass by themselves: docs/running.md, Exit statuses.
# 203 and 243 are of systemd: the program, or a file of LoadCredential=, is missing.
SuccessExitStatus=130
RestartPreventExitStatus=2 3 5 6 7 203 243
{credentials}
# The state folder is all that it may write to, and where paths of the settings begin.
DynamicUser=yes
StateDirectory={name}
WorkingDirectory=%S/{name}
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
{devices}ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""
_PAUSES: Final = "RestartSec=30s\n"
_GROWING_PAUSES: Final = "RestartSec=10s\nRestartSteps=5\nRestartMaxDelaySec=5min\n"
"""Between starts, of which there is no last one: a camera may come up at any time."""
_DEVICES: Final = """\
SupplementaryGroups=video
DevicePolicy=closed
DeviceAllow=char-video4linux rw
"""


@dataclass(frozen=True, kw_only=True)
class ServiceUnit:
    """One edge as a unit. Raises UsageError for what a unit cannot say, or its service cannot reach.

    `program` is run with `command` (run or serve) and the settings of the file `config`, of which `written`
    has the values by key, as people write them. `version`: of systemd.
    """

    name: str
    program: Path
    command: str
    config: Path
    written: Mapping[str, object] = field(default_factory=dict)
    version: int = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is no name of a service. Give 1 to 48 small letters, digits and hyphens, a "
                "letter first."
            )
        for path in (self.program, self.config, *self.credentials.values()):
            _check_plain(path)
        for key in WRITTEN:
            place = self.place_of(key)
            if place is not None and not place.is_relative_to(self.state):
                raise UsageError(
                    f"{key.replace('_', '-')} is {place}, and the service may write in {self.state} alone. "
                    "Give a path without a folder, which begins there; or leave it out."
                )

    @property
    def file_name(self) -> str:
        """Its name as systemd has it."""
        return f"{self.name}.service"

    @property
    def state(self) -> Path:
        """The folder that is the service's own, and where relative paths of the settings begin."""
        return STATES / self.name

    @property
    def credentials(self) -> dict[str, Path]:
        """The files that systemd reads for the service, by setting."""
        places = {key: self.place_of(key) for key in SECRETS}
        return {key: path for key, path in places.items() if path is not None}

    @property
    def reads(self) -> list[Path]:
        """What the service has to read where it lies, outside of its own folder."""
        places = [self.config, *(self.place_of(key) for key in READ), self._source]
        return [one for one in places if one is not None and not one.is_relative_to(self.state)]

    @property
    def text(self) -> str:
        """The unit's file."""
        flags = "".join(
            f" --{key.replace('_', '-')} ${{CREDENTIALS_DIRECTORY}}/{key}"
            for key in self.credentials
        )
        loads = "".join(f"LoadCredential={key}:{path}\n" for key, path in self.credentials.items())
        alone = self.written.get("provider", DEFAULT_PROVIDER) == DEFAULT_PROVIDER
        return _TEXT.format(
            mark=MARK,
            name=self.name,
            command=self.command,
            start=f"{self.program} {self.command} --config {self.config}{flags}",
            pauses=_GROWING_PAUSES if self.version >= _BACKS_OFF else _PAUSES,
            credentials=loads,
            devices=_DEVICES if alone else "",  # a GPU has devices of its own
        )

    def place_of(self, key: str) -> Path | None:
        """Return the path that a setting names, from the service's own folder on; None: it names none."""
        said = self.written.get(key)
        return None if said in (None, "none") else self.state / str(said)

    @property
    def _source(self) -> Path | None:
        said = str(self.written.get("source") or "")
        is_file = said and not said.isdigit() and "://" not in said and not said.startswith("/dev/")
        return self.state / said if is_file else None


def _check_plain(path: Path) -> None:
    if not _PLAIN.fullmatch(str(path)):
        raise UsageError(
            f"{str(path)!r} has characters that a unit would read in another way. Give a path of letters, "
            "digits and . _ - + @ /."
        )
