"""`splitpoint devices`: what is known of devices and radios, and how to write one."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from partitioner.cli.main import app
from partitioner.devices.device import device_names, load_device, load_radio, radio_names
from protos.errors import UnknownNameError


def devices(*words: str) -> Any:
    return CliRunner().invoke(app, ["devices", *words], env={"COLUMNS": "120"})


def test_every_number_has_a_unit_and_a_kind_of_source() -> None:
    found = json.loads(devices("--json").stdout)
    assert [one["name"] for one in found["devices"]] == device_names()
    assert [one["name"] for one in found["radios"]] == radio_names()
    for one in (*found["devices"], *found["radios"]):
        for name, number in one["numbers"].items():
            assert number["value"] is not None, name
            assert number["kind"] in ("measured", "documented", "estimate"), (one["name"], name)
            assert number["source"]
    pi = next(one for one in found["devices"] if one["name"] == "raspberry-pi-4")
    assert pi["numbers"]["idle_w"]["kind"] == "documented"
    rate = pi["throughput"][0]
    assert rate["threads"] == 1
    assert (
        rate["numbers"]["dense_gflops"]["value"]
        == load_device("raspberry-pi-4").throughput[0].dense_gflops
    )
    assert rate["numbers"]["dense_gflops"]["kind"] == "estimate"
    assert "ncnn" in rate["numbers"]["dense_gflops"]["source"]


def test_people_see_all_devices_and_how_to_write_their_own() -> None:
    done = devices()
    for name in (*device_names(), *radio_names()):
        assert name in done.stdout
    assert "6.12 d" in done.stdout
    assert "10.5 e" in done.stdout
    assert "0.5x to 1.6x" in done.stdout
    assert "--device my-board.toml" in done.stderr


def test_file_that_is_printed_is_a_device_of_ones_own(tmp_path: Path) -> None:
    for name, load in (("raspberry-pi-5", load_device), ("lte", load_radio)):
        mine = tmp_path / "mine.toml"
        mine.write_text(devices(name).stdout)
        assert load(str(mine)).model_dump(exclude={"name"}) == load(name).model_dump(
            exclude={"name"}
        )
    assert json.loads(devices("lte", "--json").stdout)["numbers"]["tail_s"]["kind"] == "measured"


def test_unknown_device_is_answered() -> None:
    assert isinstance(devices("abacus").exception, UnknownNameError)
