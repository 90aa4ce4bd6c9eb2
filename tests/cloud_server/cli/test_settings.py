"""What the server is told by flags, environment and file."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.options import ServerOptions
from protos.errors import FileError, UsageError
from tests.kit.settings import serve_settings


def test_flags_go_before_environment_before_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('bundles = "a"\nthreads = 2\nmax_sessions = 3\npreload = ["c1", "c2"]\n')
    monkeypatch.setenv("SPLITPOINT_CLOUD_MAX_SESSIONS", "4")
    monkeypatch.setenv("SPLITPOINT_CLOUD_STREAM_WINDOW", "5")
    found = serve_settings(config, stream_window=6, workers=None).server
    assert (found.bundles, found.threads, found.max_sessions) == (Path("a"), 2, 4)
    assert (found.stream_window, found.preload) == (6, ("c1", "c2"))
    assert (found.max_message_bytes, found.drain_s) == (64 << 20, 10.0)
    monkeypatch.setenv("SPLITPOINT_CLOUD_PRELOAD", "c3, c4")
    assert serve_settings(config).server.preload == ("c3", "c4")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, r"--bundles is missing\. Give it, or set SPLITPOINT_CLOUD_BUNDLES"),
        ({"bundles": "a", "workers": 0}, "--workers is wrong: 0 workers serve nobody. Give 1 "),
        ({"bundles": "a", "threads": 0}, "--threads is wrong: 0 threads cannot compute"),
        ({"bundles": "a", "color": "red"}, "no setting 'color'"),
        ({"bundles": "a", "max_message": "64"}, "no unit of size"),
        ({"bundles": "a", "max_message": "3B"}, "lets nothing through"),
        ({"bundles": "a", "drain": "soon"}, "is not a duration"),
        ({"bundles": "a", "listen": "here"}, "no address to listen on"),
        ({"bundles": "a", "listen": "::1:50"}, "no address to listen on"),
        ({"bundles": "a", "listen": "h:70000"}, "Ports go from 0 to 65535"),
        ({"bundles": "a", "device_requests_per_s": "few"}, "'few' is no number. .*Or write any"),
        ({"bundles": "a", "device_requests_per_s": "inf"}, "are no limit. Give more than 0"),
        ({"bundles": "a", "log_level": "loud"}, "--log-level is wrong"),
    ],
)
def test_wrong_setting_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        serve_settings(**given)


def test_what_a_file_or_a_variable_gives_can_be_taken_back_by_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('http = ":1"\nmemory = "1GB"\nmax-decoded = "1MB"\n')
    monkeypatch.setenv("SPLITPOINT_CLOUD_PRELOAD", "c1")
    found = serve_settings(
        config, bundles="b", http="off", memory="none", max_decoded="message", preload="none"
    )
    assert found == serve_settings(bundles="b", preload="none")
    assert (found.http, found.server.preload) == (None, ())


def test_address_of_http_is_off_where_its_variable_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPLITPOINT_CLOUD_HTTP", "")
    assert serve_settings(bundles="b").http is None


def test_names_given_as_one_text_are_refused() -> None:
    with pytest.raises(UsageError, match="`preload` is 'cloud', of type str. Give a tuple of"):
        ServerOptions("b", preload="cloud")  # type: ignore[arg-type]


def test_settings_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no settings file"):
        serve_settings(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("= 1")
    with pytest.raises(FileError, match=r"settings file .*broken\.toml is no TOML: "):
        serve_settings(tmp_path / "broken.toml")


def test_show_config_prints_the_settings_and_serves_nothing(tmp_path: Path) -> None:
    arguments = ["serve", "--bundles", str(tmp_path), "--show-config", "--drain", "3s"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0
    assert json.loads(found.stdout)["drain"] == "3s"
