"""A plan as plain data, and as the small table that a notebook shows."""

import json
import sys
from dataclasses import replace

import pytest

from partitioner.bundle.accuracy import Accuracy
from partitioner.network.link import Link
from partitioner.planning.option import LastResort
from partitioner.planning.plan import Plan, plan
from protos.errors import UnknownNameError
from tests.kit.plans import example
from tests.kit.profiles import EXAMPLE, make


@pytest.fixture
def made() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, Link(1e6, 2e6, 0.05), profile, profile.scaled(0.1))


def test_dict_is_plain_data_in_seconds_and_bytes(made: Plan) -> None:
    found = made.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["link"] == {"uplink_bps": 1e6, "downlink_bps": 2e6, "rtt_s": 0.05}
    assert found["best"] == {"cut": "edge", "codec": "raw"}
    assert [option["total_s"] for option in found["options"]] == [o.total_s for o in made.options]
    assert found["switches"][0]["below"] == {"cut": "edge", "codec": "raw"}


def test_words_of_the_dict_are_an_interface(made: Plan) -> None:
    found = made.to_dict(made["cloud/raw"])
    assert found["best"] == {"cut": "cloud", "codec": "raw"}
    assert found["bundle"] == {"name": "m", "digest": made.bundle.digest}
    assert found["profiles"] == {
        role: {"machine": profile.machine.model_dump(), "measured_at": profile.measured_at,
               "inputs": "random", "scale": profile.scale}
        for role, profile in (("edge", made.edge), ("cloud", made.cloud))
    }  # fmt: skip
    assert set(found) == {
        "bundle", "link", "profiles", "options", "best", "switches", "accuracy_drop", "left_out",
        "heads_only",
    }  # fmt: skip
    # 80 ms up, 50 ms there and back, 4 ms down; a tenth of 71 ms in the cloud.
    times = {"edge_s": 0.031, "network_s": 0.134, "cloud_s": 0.0071, "total_s": 0.1721, "exit_s": 0}
    sizes = {"upload_bytes": 10_000, "download_bytes": 1000, "frontier_bytes": 16,
             "edge_memory_bytes": 1000, "cloud_memory_bytes": 1000}  # fmt: skip
    option = made["cut-01/raw"]
    numbers = {**times, **sizes, "exit_rate": 0}
    assert option.to_dict() == {
        "cut": "cut-01", "codec": "raw", "accuracy": None, "last_resort": None,
        **{key: pytest.approx(value) for key, value in numbers.items()},
    }  # fmt: skip
    lossy = Accuracy(cut="cut-01", codec="raw", samples=40, payload_bytes=16, agreeing=39)
    assert replace(option, accuracy=lossy).to_row() == {
        "option": "cut-01/raw", "cut": "cut-01", "codec": "raw", "drop_points": 2.5,
        **{key: pytest.approx(value) for key, value in numbers.items()},
    }  # fmt: skip
    assert option.to_row()["drop_points"] is None
    unsure = replace(option, last_resort=LastResort(0.9, 0.001)).to_dict()
    assert unsure["last_resort"] == {"agreement": 0.9, "exit_s": 0.001}


def test_option_shows_its_stages_and_what_it_sends(made: Plan) -> None:
    assert repr(made["cut-01/raw"]) == (
        "<Option cut-01/raw: 172 ms (edge 31.0 ms, network 134 ms, cloud 7.10 ms), 10.0 kB up>"
    )


def test_leading_options_are_those_of_the_envelope_and_both_ends() -> None:
    made = example()
    assert [option.label for option in made.leading] == ["cloud/raw", "cut-01/raw", "edge"]
    on_envelope = {s.below.label for s in made.switches()} | {
        s.above.label for s in made.switches()
    }
    assert on_envelope <= {option.label for option in made.leading}


def test_table_has_the_best_option_in_its_title_and_a_row_for_each_leading_one(made: Plan) -> None:
    title, header, *rows = str(made).splitlines()
    assert title.startswith("m on 1.00 Mbit/s up, 2.00 Mbit/s down, RTT 50.0 ms: best edge in ")
    assert header.split() == ["option", "upload", "edge", "network", "cloud", "total"]
    assert [row.split()[0] for row in rows] == [option.label for option in made.leading]
    assert rows[-1].split() == ["edge", "0", "B", "100.0", "0.0", "0.0", "100.0"]


def test_notebook_shows_the_same_with_the_best_in_bold(made: Plan) -> None:
    page = made._repr_html_()
    assert page.count("<tr>") == 1 + len(made.leading)
    assert "<td><b>edge</b></td>" in page
    assert len(page) < 4000


def test_data_frame_has_a_row_for_each_option(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pandas:
        class DataFrame:
            @staticmethod
            def from_records(rows: list[dict[str, object]]) -> list[dict[str, object]]:
                return rows

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    rows = made.to_pandas()
    assert [row["option"] for row in rows] == [option.label for option in made.options]
    assert all(not isinstance(value, dict | list) for row in rows for value in row.values())


def test_option_is_found_by_its_label_and_a_wrong_one_is_told_the_nearest(made: Plan) -> None:
    assert all(made[option.label] == option for option in made.options)
    with pytest.raises(UnknownNameError, match="no option 'edgy'. The nearest is 'edge'"):
        made["edgy"]
    with pytest.raises(
        UnknownNameError, match="no option 'cut-1/raw'. The nearest is 'cut-01/raw'"
    ):
        made["cut-1/raw"]
