"""`simulate` as a program calls it: against the plan, the command's pipeline, and its own words."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.planning.terms import Terms
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.simulation import FRAME_COLUMNS, Simulation
from partitioner.simulation.sweep import POINT_COLUMNS, parse_grid, sweep
from partitioner.simulation.what_if import simulate
from protos.errors import UnknownNameError, UsageError
from tests.kit.plans import BOARD, RADIO
from tests.kit.profiles import EXAMPLE, make
from tests.kit.traces import trace

LINK = Link(1e6, 2e6, 0.05)


@pytest.fixture
def made() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, LINK, profile, profile.scaled(0.1))


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pandas that keeps the rows that it is given."""

    class Pandas:
        class DataFrame:
            @staticmethod
            def from_records(rows: list[dict[str, object]]) -> list[dict[str, object]]:
                return rows

    monkeypatch.setitem(sys.modules, "pandas", Pandas)


def test_fixed_options_on_a_link_take_what_the_plan_says(made: Plan) -> None:
    done = simulate(made, LINK, fps=0.5, seconds=20, seed=None)
    assert done.frames == 10
    for option in made.leading:
        assert done[option.label].latencies_s == pytest.approx([option.total_s] * 10)
    assert [run.policy for run in done.runs] == [*(o.label for o in made.leading), "adaptive"]


def test_columns_read_a_file_of_any_table_and_nothing_else(made: Plan, tmp_path: Path) -> None:
    table = tmp_path / "drive.csv"
    table.write_text("when,bytes\n0,125000\n1000,125000\n")
    columns = "time=when:ms,uplink=bytes:Bps"
    found = simulate(made, table, columns=columns, fps=2, policies="cloud/raw", seed=None)
    link = simulate(made, Link(1e6, 1e6, 0.05), seconds=2, fps=2, policies="cloud/raw", seed=None)
    assert found["cloud/raw"].latencies_s == pytest.approx(link["cloud/raw"].latencies_s)
    for over in (LINK, "1mbit,20ms", Trace("t", Steps([0.0], [1e6], 1.0))):
        with pytest.raises(UsageError, match="`columns` are of a trace's file"):
            simulate(made, over, columns=columns)


def test_link_lasts_a_minute_and_a_trace_its_time(made: Plan) -> None:
    assert simulate(made, LINK, fps=2, policies="edge").frames == 120
    trace = Trace("t", Steps([0.0, 5.0], [1e6, 8e6], 15.0))
    assert simulate(made, trace, fps=2, policies="edge").frames == 30


def test_trace_takes_from_the_plan_what_it_does_not_say(made: Plan, tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_text("0 8\n1 8\n2 8\n")
    done = simulate(made, file, policies=["cloud/raw"])
    assert done.setup.trace.link_at(0.0, LINK) == Link(8e6, 8e6, LINK.rtt_s)


def test_runs_are_those_of_the_command(made: Plan) -> None:
    trace = Trace("t", Steps([0.0, 5.0], [1e6, 8e6], 10.0)).filled(0.05)
    names = ["edge", "cut-01/raw", "adaptive", "clairvoyant"]
    done = simulate(made, trace, fps=5, policies=names, seed=3, deadline_s=0.2, cloud_load=2.0)
    setup = Setup(trace, 0.2, 4, 10.0, 1, 3, device_paced=True)
    settings = PolicySettings(deadline_s=0.2)
    wanted = compare_policies(made, setup, 50, settings, (1.0, 2.0), policies=names)
    assert [run.policy for run in done.runs] == names
    for run, other in zip(done.runs, wanted, strict=True):
        assert run.latencies_s.tolist() == other.latencies_s.tolist()


def test_all_is_every_option_and_both_that_choose(made: Plan) -> None:
    done = simulate(made, LINK, seconds=1, policies="all")
    labels = [option.label for option in made.options]
    assert [run.policy for run in done.runs] == [*labels, "adaptive", "clairvoyant"]


def test_objective_and_terms_are_those_of_the_adaptive_policy(made: Plan) -> None:
    terms = Terms(device=BOARD, radio=RADIO)
    done = simulate(made, LINK, seconds=2, objective="energy", terms=terms)
    assert done.to_dict()["objective"] == {"energy": 1.0}
    assert all(row["energy_j"] > 0 for row in done.to_dict()["policies"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fps": 0}, "fps 0 has no meaning"),
        ({"seconds": -1}, "seconds -1 has no meaning"),
        ({"seconds": 1e9}, "at most 1,000,000 are simulated"),
        ({"edge_load": 0}, "edge_load 0 has no meaning"),
        ({"objective": "joy"}, "'joy' cannot be minimised"),
        ({"exit_threshold": "own"}, "m has no exits"),
        ({"policies": []}, "no policy is no simulation"),
    ],
)
def test_numbers_without_meaning_are_refused_in_the_words_of_python(
    made: Plan, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        simulate(made, LINK, **wrong)  # type: ignore[arg-type]
    if "exit_threshold" not in wrong:  # its remedy is a command
        assert "--" not in str(caught.value)


def test_policy_that_is_none_is_told_the_nearest(made: Plan) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no policy 'cut-1/raw'.* the nearest are cut-01/raw, "
    ):
        simulate(made, LINK, policies=["cut-1/raw", "adaptive"])
    with pytest.raises(UnknownNameError, match="'cloud/raw' was not simulated. There are: edge"):
        simulate(made, LINK, policies="edge")["cloud/raw"]


def test_link_may_be_written_and_a_file_with_a_comma_is_a_trace(made: Plan, tmp_path: Path) -> None:
    written = simulate(made, "10mbit,20ms", policies="edge", seconds=5)
    given = simulate(made, Link(10e6, 10e6, 0.02), policies="edge", seconds=5)
    assert written.setup.trace.name == given.setup.trace.name
    assert written.to_dict() == given.to_dict()
    file = tmp_path / "1,2.txt"
    file.write_text("0 5\n10 5\n")
    assert simulate(made, str(file), policies="edge").setup.trace.name == "1,2.txt"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"plan": "m"}, "`plan` is 'm', of type str. Give a Plan"),
        (
            {"over": 5},
            "`over` is 5, of type int. Give a Link, a Trace, text such as '10mbit,20ms'",
        ),
        ({"deadline_s": "100ms"}, "`deadline_s` is '100ms', of type str. Give a number of seconds"),
        ({"fps": "5"}, "`fps` is '5', of type str. Give a number"),
        ({"terms": "phone"}, "`terms` is 'phone', of type str. Give Terms"),
        ({"objective": 3}, "`objective` is 3, of type int. Give text such as"),
    ],
)
def test_argument_of_a_wrong_type_is_told_what_was_wanted(
    made: Plan, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        simulate(**{"plan": made, "over": "10mbit,20ms", **given})


@pytest.fixture
def done(made: Plan) -> Simulation:
    return simulate(made, LINK, fps=2, seconds=5, deadline_s=0.15)


def test_misspelt_adaptive_policy_is_told_its_name(made: Plan) -> None:
    with pytest.raises(UnknownNameError, match="no policy 'adaptiv'.* the nearest are adaptive"):
        simulate(made, LINK, policies=["adaptiv"])


def test_dict_is_plain_data(done: Simulation) -> None:
    found = done.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["frames"] == 10
    assert [row["policy"] for row in found["policies"]] == [run.policy for run in done.runs]
    edge = next(row for row in found["policies"] if row["policy"] == "edge")
    assert edge["mean_s"] == pytest.approx(0.1)
    assert edge["missed_share"] == 0.0


def test_data_frames_have_a_row_for_each_policy_and_for_each_frame(
    done: Simulation, frames: None
) -> None:
    assert [row["policy"] for row in done.to_pandas()] == [run.policy for run in done.runs]
    rows = done.frames_to_pandas()
    assert len(rows) == 10 * len(done.runs)
    assert tuple(rows[0]) == FRAME_COLUMNS


def test_table_has_the_best_mean_first_in_text_and_html(done: Simulation) -> None:
    title, header, *rows = str(done).splitlines()
    assert title.startswith("10 frames of m over 1.00 Mbit/s up")
    assert header.split() == ["policy", "mean", "p50", "p95", "p99", "late", "upload"]
    means = [float(row.split()[1]) for row in rows]
    assert means == sorted(means)
    assert len(rows) == len(done.runs)
    assert done._repr_html_().count("<tr>") == 1 + len(rows)
    assert repr(done).startswith("<Simulation of 10 frames of m over 1.00 Mbit/s up")


def test_sweep_is_plain_data_a_small_table_and_a_frame(made: Plan, frames: None) -> None:
    swept = sweep(made, parse_grid("0.1mbit:100mbit:5", "20ms", "1", "1", None))
    found = swept.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["points"][0]["option"] == "edge"
    assert tuple(swept.to_pandas()[0]) == POINT_COLUMNS
    winners = [one.label for one in swept.standings if one.uplinks_bps]
    assert [row.split()[0] for row in str(swept).splitlines()[2:]] == winners
    assert swept._repr_html_().count("<tr>") == 1 + len(winners)


def test_hedges_are_as_asked_and_counted(made: Plan) -> None:
    dark = trace((0, 20), (4, 0), (7, 20), duration=12)
    ways = {
        after: simulate(made, dark, policies="adaptive", hedge=after).to_dict()
        for after in ("auto", "off", "50ms", 0.05)
    }
    rows = {after: way["policies"][0] for after, way in ways.items()}
    assert {way["hedge"] for way in ways.values()} == {"auto", "off", 0.05}
    assert rows["off"]["hedged"] == 0
    assert rows["auto"]["hedged"] >= rows["auto"]["hedges_won"] >= 1
    assert rows["50ms"] == rows[0.05]
    assert rows["auto"]["mean_s"] < rows["off"]["mean_s"]
    with pytest.raises(UsageError, match="80ms"):
        simulate(made, dark, hedge=None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Give auto, off"):
        simulate(made, dark, hedge=-1.0)
