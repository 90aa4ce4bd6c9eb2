"""The flags of connections: what they make, and the variables that count where they are not given."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from partitioner.terminal.app import new_app
from partitioner.terminal.connection_flags import secures_connections
from protos.errors import SplitpointError, UsageError
from protos.security.channel_security import ChannelSecurity

TOKEN = "spt_0123456789abcdef"


def told(*words: str) -> ChannelSecurity:
    found: list[ChannelSecurity] = []

    def ask(security: ChannelSecurity, cloud: str = "c") -> None:
        found.append(security)

    app = new_app()
    app.command("ask")(secures_connections(ask))
    app.callback()(lambda: None)
    done: Any = CliRunner().invoke(app, ["ask", *words])
    if isinstance(done.exception, SplitpointError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return found[0]


def test_flags_become_what_secures_a_connection() -> None:
    found = told(
        "--tls-ca", "ca.crt", "--tls-cert", "a.crt", "--tls-key", "a.key", "--tls-server-name", "n"
    )
    assert found.tls
    assert found.files.authorities == Path("ca.crt")
    assert (found.files.cert, found.files.key) == (Path("a.crt"), Path("a.key"))
    assert found.server_name == "n"
    assert told("--token-file", "t", "--insecure") == ChannelSecurity(
        token_file=Path("t"), insecure=True
    )
    assert told() == ChannelSecurity()
    assert told("--tls").tls


def test_variables_count_where_no_flag_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TOKEN", TOKEN), ("TLS_CA", "ca.crt"), ("INSECURE", "true"), ("TLS", "")):
        monkeypatch.setenv(f"SPLITPOINT_EDGE_{name}", value)
    found = told("--tls-ca", "other.crt")
    assert found.token == TOKEN
    assert found.files.authorities == Path("other.crt")
    assert found.insecure
    assert not told("--no-insecure").insecure
    monkeypatch.setenv("SPLITPOINT_EDGE_INSECURE", "perhaps")
    with pytest.raises(
        UsageError, match="SPLITPOINT_EDGE_INSECURE is 'perhaps'. Give true or false"
    ):
        told()


def test_token_has_no_flag() -> None:
    def ask(security: ChannelSecurity) -> None: ...

    app = typer.Typer()
    app.command()(secures_connections(ask))
    done = CliRunner().invoke(app, ["--token", TOKEN])
    assert done.exit_code == 2
    assert "No such option" in done.output


def test_halves_are_refused_by_the_names_of_the_flags() -> None:
    with pytest.raises(UsageError, match="a certificate needs its key"):
        told("--tls-cert", "a.crt")
