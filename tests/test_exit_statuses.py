"""Exit statuses: what a supervisor needs to know, whether trying again can help."""

import os
import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app as cloud_app
from partitioner.bundle.bundle import Bundle
from protos import errors
from protos.errors import PASSING, FileError, OverloadedError, SplitpointError, UnreachableError
from protos.rpc.addresses import open_listener
from tests.kit.certificates import DAY, Authority
from tests.kit.edge_commands import invoke

PAGE = Path(__file__).parents[1] / "docs" / "running.md"
ROW = re.compile(r"^\| (\d+) \| .* \| (yes|no|as it may be) \|$", re.MULTILINE)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield f"127.0.0.1:{holder.getsockname()[1]}"


def ending(found: Any) -> tuple[int, str]:
    """The status and the last words of a command that failed."""
    assert isinstance(found.exception, SplitpointError), found.output
    return found.exception.exit_status, str(found.exception)


def serve(bundle: Path, *words: object) -> tuple[int, str]:
    listen = () if "--listen" in words else ("--listen", "127.0.0.1:0")
    given = ["serve", "--bundles", bundle, *listen, *words]
    return ending(CliRunner().invoke(cloud_app, [str(word) for word in given]))


def test_page_says_of_every_status_whether_trying_again_can_help() -> None:
    said = {int(status): again for status, again in ROW.findall(PAGE.read_text())}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    used = {kind.exit_status for kind in kinds if issubclass(kind, SplitpointError)}
    assert used <= set(said)
    assert [status for status in sorted(said) if said[status] == "yes"] == [PASSING]
    assert said[FileError.exit_status] == "no"
    assert OverloadedError("full").exit_status == PASSING


def test_connection_that_a_person_has_to_mend_is_not_tried_again() -> None:
    assert UnreachableError("nobody there").exit_status == PASSING
    of_another = UnreachableError("another authority", needs_a_person=True)
    assert of_another.exit_status == errors.ServerError.exit_status


def test_port_that_is_taken_may_be_free_again(residual_bundle: Bundle, taken: str) -> None:
    for words in (("--listen", taken), ("--http", taken)):
        status, said = serve(residual_bundle.path, *words)
        assert status == PASSING
        assert f"cannot listen on {taken}: Address already in use" in said
        assert "end what uses the port" in said
    run = ("--bundle", residual_bundle.path, "--cloud", "127.0.0.1:1")
    status, _ = ending(invoke("serve", *run, "--listen", taken))
    assert status == PASSING
    status, _ = ending(invoke("link", "--listen", taken, "--to", taken, "--link", "5mbit,9ms"))
    assert status == PASSING


def test_address_of_another_machine_may_come_and_a_port_of_roots_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        SplitpointError, match="does not have that address, or not yet"
    ) as elsewhere:
        open_listener("192.0.2.1:5000", "listen")
    assert elsewhere.value.exit_status == PASSING

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)  # root may
    with pytest.raises(SplitpointError, match="ports below 1024 are root's") as refused:
        open_listener("127.0.0.1:80", "listen")
    assert refused.value.exit_status == errors.UsageError.exit_status


@pytest.mark.parametrize(
    ("valid", "status", "advice"),
    [((-9 * DAY, -DAY), 3, "Renew it"), ((DAY, 9 * DAY), PASSING, "Set this machine's clock")],
    ids=["expired", "early"],
)
def test_certificate_that_is_not_valid_yet_will_be_and_an_expired_one_will_not(
    residual_bundle: Bundle,
    tmp_path: Path,
    valid: tuple[timedelta, timedelta],
    status: int,
    advice: str,
) -> None:
    own = Authority(tmp_path).issue(valid=valid)
    found, said = serve(residual_bundle.path, "--tls-cert", own.cert, "--tls-key", own.key)
    assert found == status
    assert str(own.cert) in said
    assert advice in said


@pytest.mark.parametrize(
    "words",
    [
        ("--devices", "{none}"),
        ("--trusted-keys", "{none}"),
        ("--tls-cert", "{none}", "--tls-key", "{none}"),
        ("--bundles", "{none}"),
    ],
    ids=lambda words: words[0],
)
def test_what_is_not_there_is_named_and_does_not_come_by_trying_again(
    residual_bundle: Bundle, tmp_path: Path, words: tuple[str, ...]
) -> None:
    missing = tmp_path / "missing"
    given = [word.format(none=missing) for word in words]
    bundles = residual_bundle.path
    if given[0] == "--bundles":
        bundles, given = missing, []
    status, said = serve(bundles, *given)
    assert status == FileError.exit_status
    assert str(missing) in said


def test_file_that_this_user_may_not_read_is_told_by_its_reader(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser would say of a key that its path is not readable, and nothing of what to do."""
    own = Authority(tmp_path).issue()
    opened = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == own.key:
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)  # as root may read all
    monkeypatch.setattr(os, "access", lambda path, _: path != str(own.key))
    status, said = serve(residual_bundle.path, "--tls-cert", own.cert, "--tls-key", own.key)
    assert status == FileError.exit_status
    assert f"the key {own.key} cannot be read: Permission denied" in said
