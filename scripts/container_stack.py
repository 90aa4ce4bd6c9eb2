"""A stack of docker-compose.yml that runs, by docker or podman, and what its containers say."""

import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "splitpoint-run"
PATIENCE_S = 120
"""For anything that has to happen; a busy machine is slow."""
BEGUN = time.monotonic()

Record = dict[str, Any]
T = TypeVar("T")


class UnmetError(Exception):
    """A promise that was not kept, or a step that failed."""


class Engine:
    """docker or podman, and what speaks Compose for it."""

    def __init__(self, name: str, compose: list[str]) -> None:
        self.name, self.compose = name, compose
        # podman's own format of images has no health checks.
        self.build = ["build", "--format", "docker"] if name == "podman" else ["build"]

    @classmethod
    def found(cls) -> "Engine":
        """Return the one that ENGINE names, or docker where a daemon runs, or podman."""
        name = os.environ.get("ENGINE") or ("docker" if succeeds("docker", "info") else "podman")
        if not shutil.which(name):
            raise UnmetError(
                f"there is no {name}. Install docker, or podman and podman-compose, or say ENGINE=…"
            )
        compose = shlex.split(os.environ.get("COMPOSE", ""))
        if not compose:
            candidates = [[name, "compose"], [f"{name}-compose"]]
            compose = next((each for each in candidates if succeeds(*each, "version")), [])
        if not compose:
            raise UnmetError(
                f"nothing speaks Compose for {name}. Install {name}-compose, or say COMPOSE=…"
            )
        return cls(name, compose)

    def run(self, *words: str) -> str:
        """Run a command of the engine and return what it printed; UnmetError when it fails."""
        return call([self.name, *words])


class Stack:
    """The services of docker-compose.yml in a project of their own, on ports that are free."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.bundles = folder / "bundles"
        self.logs: dict[str, Log] = {}
        self._secrets = folder / "secrets"
        grpc, rest, metrics, prometheus = free_addresses(4)
        self.rest, self.metrics = f"https://{rest}", f"http://{metrics}"
        self.prometheus = f"http://{prometheus}"
        self._environment = {
            **os.environ,
            "STACK_GRPC": grpc,
            "STACK_REST": rest,
            "STACK_METRICS": metrics,
            "STACK_PROMETHEUS": prometheus,
            "STACK_BUNDLES": str(self.bundles),
            "STACK_SECRETS": str(self._secrets),
        }
        folder.chmod(0o711)
        example = ROOT / "examples" / "digits" / "bundle"
        shutil.copytree(
            example, self.bundles / "digits-1", ignore=shutil.ignore_patterns("profiles")
        )
        call(["docker/certificates.sh"], self._environment)

    def start(self, service: str) -> "Log":
        """Start a service that does not run, and follow what it says."""
        self._compose("up", "--detach", "--no-build", "--no-deps", service)
        container = self._containers(service)[0]
        self.logs[service] = Log(self.engine, container)
        return self.logs[service]

    def wait_healthy(self, service: str) -> None:
        """Wait until a service's own check says so."""
        container = self.logs[service].container
        wait_for(lambda: self._is_healthy(container), f"{service} is healthy", pause_s=0.5)

    def _is_healthy(self, container: str) -> bool:
        if self.engine.name == "podman":  # which checks by timers of systemd, if there is any
            return succeeds("podman", "healthcheck", "run", container)
        return (
            self.engine.run("inspect", "--format", "{{.State.Health.Status}}", container)
            == "healthy"
        )

    def address(self, service: str) -> str:
        """Return the address that a service has in the stack's network."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.engine.run("inspect", "--format", form, self.logs[service].container)

    def get(self, url: str) -> str:
        """Return a page, asked with the certificate of a device."""
        context = ssl.create_default_context(cafile=self._secrets / "ca.crt")
        context.load_cert_chain(self._secrets / "edge.crt", self._secrets / "edge.key")
        with urllib.request.urlopen(url, context=context, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def versions(self) -> set[str]:
        """Return the numbers of the versions that the cloud serves; none while it does not answer."""
        with suppress(OSError):
            return set(json.loads(self.get(f"{self.rest}/v2/models/digits"))["versions"])
        return set()

    def tell_logs(self) -> None:
        """Print the last lines of every container, for whoever has to find out."""
        for container in self._containers():
            name = self.engine.run("inspect", "--format", "{{.Name}}", container)
            print(
                f"--- {name}\n{call([self.engine.name, 'logs', '--tail', '8', container])}",
                flush=True,
            )

    def down(self) -> None:
        """Take everything down, volumes too."""
        self._compose("down", "--volumes", "-t", "15")
        if left := self._containers():
            raise UnmetError(f"{len(left)} containers are still there after `down`")

    def _compose(self, *words: str) -> str:
        whole = [*self.engine.compose, "--project-name", PROJECT]
        for profile in ("demo", "fleet", "observability"):
            whole += ["--profile", profile]
        return call([*whole, *words], self._environment)

    def _containers(self, service: str = "") -> list[str]:
        label = "label=com.docker.compose"
        of_service = ["--filter", f"{label}.service={service}"] if service else []
        return self.engine.run(
            "ps", "--all", "--quiet", "--filter", f"{label}.project={PROJECT}", *of_service
        ).split()


class Log:
    """What a container says, read as it comes: its records, its other JSON lines, and its summary."""

    def __init__(self, engine: Engine, container: str) -> None:
        self.container = container
        self.records: list[Record] = []
        self.events: list[Record] = []
        self.summary: Record = {}
        command = [engine.name, "logs", "--follow", container]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for line in self._process.stdout or ():
            with suppress(json.JSONDecodeError):
                self._take(json.loads(line))

    def _take(self, said: Record) -> None:
        if "frame" in said:
            self.records.append(said)
        elif "summary" in said:
            self.summary = said["summary"]
        else:
            self.events.append(said)


def call(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a command in the project's folder and return what it printed; UnmetError with its last words."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise UnmetError(f"`{shlex.join(command)}` ended with status {done.returncode}:\n{last}")
    return done.stdout.strip()


def succeeds(*command: str) -> bool:
    """Tell whether a command is there and ends well."""
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


def wait_for(
    condition: Callable[[], T], what: str, *, patience_s: float = PATIENCE_S, pause_s: float = 0.1
) -> T:
    """Return what a condition gives once it is true; UnmetError when that takes too long."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(pause_s)
    raise UnmetError(f"within {patience_s:.0f} s it did not come about that {what}")


def expect(is_so: bool, otherwise: str) -> None:
    """Raise UnmetError with the reason, unless something is so."""
    if not is_so:
        raise UnmetError(otherwise)


def tell(what: str) -> None:
    """Say what has come about, and after how long."""
    print(f"[{time.monotonic() - BEGUN:4.0f} s] {what}", flush=True)


def free_addresses(count: int) -> list[str]:
    """Return addresses of this machine that nobody listens at."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in taken]
    for each in taken:
        each.close()
    return addresses
