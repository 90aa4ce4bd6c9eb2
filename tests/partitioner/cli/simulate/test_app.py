"""The commands below simulate together."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from partitioner.cli.main import app
from tests.kit.documents import Simulate, document


def test_help_has_an_example() -> None:
    for command in ("sweep", "trace", "fleet"):
        done = CliRunner().invoke(app, ["simulate", command, "--help"])
        assert f"Example: splitpoint simulate {command}" in done.stdout


@pytest.mark.parametrize("word", ["trace", "fleet"])
def test_simulation_says_how_far_off_a_device_that_was_not_measured_may_be(
    simulate: Simulate, tram: Path, word: str
) -> None:
    words = {
        "trace": ("trace", tram, "--rtt", "20ms", "--frames", 5),
        "fleet": ("fleet", "--link", "5mbit,20ms", "--devices", 1, "--duration", "5s"),
    }[word]
    edge, cloud = document(simulate(*words, "--device", "raspberry-pi-4", "--json"))["not_measured"]
    assert (edge["role"], edge["how"], edge["range"]) == ("edge", "throughput", [0.5, 1.6])
    assert (cloud["role"], cloud["range"]) == ("cloud", [0.5, 2.0])
    said = " ".join(simulate(*words, "--device", "raspberry-pi-4").stderr.split())
    assert "its times may really be 0.5x to 1.6x of these" in said
    by_hand, _ = document(
        simulate(*words, "--device", "raspberry-pi-4", "--edge-scale", 3, "--json")
    )["not_measured"]
    assert (by_hand["how"], by_hand["range"]) == ("factor", [0.5, 2.0])


def test_sweep_says_how_far_off_a_cloud_that_was_not_measured_may_be(simulate: Simulate) -> None:
    words = ("sweep", "--link", "1mbit:10mbit:2,20ms")
    assert [one["role"] for one in document(simulate(*words, "--json"))["not_measured"]] == [
        "cloud"
    ]
    said = " ".join(simulate(*words).stderr.split())
    assert "The cloud is scaled, not measured" in said
