"""The table at the end of a run."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from edge_client.cli.reports.summary import print_summary
from edge_client.cli.reports.tally import Tally
from edge_client.client.hedges import HedgeCounts
from edge_client.control.cloud_watch import LookCounts
from edge_client.frames.result import Result, ServedBy, Timings
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link


def shown(
    bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    *servers: ServedBy,
    slow: float = 1.0,
    link: Link | None = None,
    link_is_measured: bool = True,
    hedges: HedgeCounts | None = None,
    looks: LookCounts | None = None,
) -> str:
    tally = Tally(bundle, {}, lambda: 1.0)
    served = Result(0, {}, ServedBy.CLOUD, "", "cut-03", "raw", 100, 10, Timings(0.01, 0.01))
    for server in servers:
        tally.add(replace(served, served_by=server), "")
    summary = tally.summary(dropped=0, unreadable=0, link=link)
    summary |= {
        "cloud": None,
        "server": None,
        "stops": 0,
        "fallbacks": {},
        "switches": 0,
        "hedges": (hedges or HedgeCounts()).summary(),
        "looks": asdict(looks or LookCounts()),
        "slow": slow,
        "link_is_measured": link_is_measured,
    }
    print_summary(summary, bundle)
    return capsys.readouterr().out


def test_latency_says_how_many_frames_it_is_over_where_some_were_lost(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    half = shown(residual_bundle, capsys, ServedBy.CLOUD, ServedBy.EDGE, ServedBy.NONE)
    assert "latency p50 of 2 served" in half
    whole = shown(residual_bundle, capsys, ServedBy.CLOUD, ServedBy.EDGE)
    assert "latency p50" in whole
    assert " served " not in whole.replace("served by", "")


def test_summary_says_how_slow_the_device_was_played(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "played 8 times as slow" in shown(residual_bundle, capsys, ServedBy.EDGE, slow=8.0)
    assert "played" not in shown(residual_bundle, capsys, ServedBy.EDGE)


def test_summary_counts_hedges_where_there_were_any(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = HedgeCounts(9, 3, dropped_s=0.25, unused_answers=7, unused_cloud_s=0.1)
    table = shown(residual_bundle, capsys, ServedBy.EDGE, hedges=counts)
    assert "12: 9 first here, 3 in the cloud" in table
    assert "250 ms" in table
    assert "hedged" not in shown(residual_bundle, capsys, ServedBy.EDGE)


def test_summary_says_what_looks_at_the_link_sent(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    table = shown(residual_bundle, capsys, ServedBy.EDGE, looks=LookCounts(1, 12, 9_000))
    assert "1 try, 12 probes: 9.00 kB" in table
    assert "looked" not in shown(residual_bundle, capsys, ServedBy.EDGE)


@pytest.mark.parametrize("measured", [True, False])
def test_summary_says_where_the_link_comes_from(
    measured: bool, residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    link = Link(790e6, 790e6, 0.001)
    table = shown(residual_bundle, capsys, ServedBy.CLOUD, link=link, link_is_measured=measured)
    assert f"link, as {'measured' if measured else 'given'}" in table
    assert "790 Mbit/s up" in table


def test_answer_whose_scores_are_no_numbers_counts_as_wrong(residual_bundle: Bundle) -> None:
    tally = Tally(residual_bundle, {"a": 1, "b": 1}, lambda: 1.0)
    (output,) = residual_bundle.outputs
    right = np.zeros((1, output.shape[1]), np.float32)
    right[0, 1] = 1
    served = Result(0, {}, ServedBy.CLOUD, "", "cut-03", "raw", 100, 10, Timings(0.01, 0.01))
    tally.add(replace(served, outputs={output.name: right}), "a")
    assert tally.accuracy == 1
    tally.add(replace(served, outputs={output.name: right * np.nan}), "b")
    assert tally.accuracy == 0.5
