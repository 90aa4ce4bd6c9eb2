"""What secures the edge, as commands are told it; and that a secret is shown nowhere."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from edge_client.client.options import ClientOptions
from edge_client.client.sync_client import EdgeClient
from edge_client.telemetry.metrics_page import check_free
from partitioner.bundle.bundle import Bundle
from protos.errors import CredentialError, SplitpointError, UsageError
from protos.security.channel_security import ChannelSecurity
from tests.kit.edge_commands import invoke
from tests.kit.settings import local_serve_settings

TOKEN = "spt_0123456789abcdef"
RUN = ("run", "--bundle", "b", "--source", "s")


def refused(*words: object) -> str:
    error = invoke(*words).exception
    assert isinstance(error, SplitpointError), error
    return str(error)


def test_token_comes_from_a_variable_and_is_masked_where_settings_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPLITPOINT_EDGE_TOKEN", TOKEN)
    found = invoke(*RUN, "--cloud", "127.0.0.1:1", "--show-config")
    assert json.loads(found.stdout)["token"] == "***"
    assert TOKEN not in found.output
    monkeypatch.delenv("SPLITPOINT_EDGE_TOKEN")
    shown = json.loads(invoke(*RUN, "--show-config").stdout)
    assert shown["token"] is None


def test_token_has_neither_flag_nor_place_in_a_file(tmp_path: Path) -> None:
    for words in (("--token", TOKEN), (f"--token={TOKEN}",)):
        found = invoke(*RUN, *words)
        assert found.exit_code == 2
        assert "--token-file" in found.output
        assert TOKEN not in found.output
    config = tmp_path / "edge.toml"
    config.write_text(f'token = "{TOKEN}"\n')
    said = refused(*RUN, "--config", config)
    assert "'token' is a secret" in said
    assert "token-file" in said
    assert "SPLITPOINT_EDGE_TOKEN" in said
    assert TOKEN not in said


def test_token_that_would_travel_in_the_clear_is_refused_by_the_names_of_the_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPLITPOINT_EDGE_TOKEN", TOKEN)
    for words in ((*RUN, "--cloud", "10.0.0.2:1"), ("probe", "--cloud", "10.0.0.2:1")):
        said = refused(*words)
        assert "in the clear" in said
        assert "--tls-ca" in said
        assert "--insecure" in said
        assert TOKEN not in said
    said = refused("fetch", "m", "--cloud", "10.0.0.2:1", "--out", tmp_path / "m")
    assert "in the clear" in said


def test_token_file_that_others_may_read_ends_the_command(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    error: Any = invoke("probe", "--cloud", "127.0.0.1:1", "--token-file", path).exception
    assert isinstance(error, CredentialError)
    assert error.exit_status == 3
    assert f"chmod 600 {path}" in str(error)


def test_options_of_a_client_become_what_secures_its_connections(tmp_path: Path) -> None:
    options = ClientOptions("10.0.0.2:1", "b", tls_ca="ca.crt", token=TOKEN, tls_server_name="n")
    assert options.security.tls
    assert options.security.server_name == "n"
    assert options.security.read_token() == TOKEN
    assert TOKEN not in repr(options)
    assert ClientOptions("10.0.0.2:1", "b").security == ChannelSecurity()
    with pytest.raises(UsageError, match="in the clear"):
        ClientOptions("10.0.0.2:1", "b", token=TOKEN)
    assert ClientOptions("10.0.0.2:1", "b", token=TOKEN, insecure=True)


def test_wrong_token_of_a_program_is_not_shown(residual_bundle: Bundle) -> None:
    wrong: Any = TOKEN.encode()
    with pytest.raises(UsageError, match="`token` is of type bytes") as caught:
        EdgeClient("127.0.0.1:1", residual_bundle, token=wrong)
    assert TOKEN not in str(caught.value)


def test_local_server_beyond_this_machine_needs_tls_or_somebody_who_says_so(
    residual_bundle: Bundle,
) -> None:
    words = ("serve", "--bundle", residual_bundle.path, "--cut", "edge", "--listen", "0.0.0.0:0")
    said = refused(*words)
    assert "--listen 0.0.0.0:0 is open to other machines" in said
    assert "--listen-tls-cert and --listen-tls-key" in said
    assert "--insecure" in said


def test_files_of_the_local_server_go_together(tmp_path: Path) -> None:
    assert local_serve_settings(bundle=tmp_path).listener.tls is None
    with pytest.raises(UsageError, match="a certificate needs its key"):
        local_serve_settings(bundle=tmp_path, listen_tls_cert=tmp_path / "a.crt")
    with pytest.raises(UsageError, match="`listen_tls_client_ca` asks clients"):
        local_serve_settings(bundle=tmp_path, listen_tls_client_ca=tmp_path / "ca.crt")


def test_metrics_beyond_this_machine_have_to_be_allowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(UsageError, match=r"`metrics` 0\.0\.0\.0:0 is open.*proxy.*`insecure`"):
        check_free("0.0.0.0:0")
    check_free("0.0.0.0:0", insecure=True)
    check_free("127.0.0.1:0")
    check_free(None)
    assert "insecure" not in [
        each.levelname for each in caplog.records if each.levelno > logging.INFO
    ]
