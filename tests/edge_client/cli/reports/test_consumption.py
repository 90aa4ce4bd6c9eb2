"""Joules and money of a run's frames, as its summary has them."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from edge_client.cli.reports.consumption import Consumption
from edge_client.cli.reports.summary import print_summary
from edge_client.cli.reports.tally import Tally
from edge_client.client.hedges import HedgeCounts
from edge_client.control.cloud_watch import LookCounts
from edge_client.frames.result import Hedged, Result, ServedBy, Timings
from partitioner.bundle.bundle import Bundle
from partitioner.devices.energy import frame_energy
from partitioner.planning.terms import NO_TERMS, Terms

TERMS = Terms.named("phone")


def result(timings: Timings, served_by: ServedBy = ServedBy.CLOUD) -> Result:
    return Result(0, {}, served_by, "", "cut-03", "raw", 9000, 400, timings)


TIMINGS = Timings(0.4, edge_s=0.1, network_s=0.05, queue_s=0.01, cloud_s=0.02, wait_s=0.22)


def formula(timings: Timings, fps: float | None) -> float:
    assert TERMS.device is not None
    assert TERMS.radio is not None
    return frame_energy(
        TERMS.device, TERMS.radio, edge_s=timings.edge_s, network_s=timings.network_s,
        cloud_s=timings.queue_s + timings.cloud_s, upload_bytes=9000, download_bytes=400, fps=fps,
    ).total_j  # fmt: skip


@pytest.mark.parametrize("fps", [None, 5.0])
def test_joules_are_those_of_the_planners_formulas_and_waiting_is_free(fps: float | None) -> None:
    spent = Consumption(TERMS)
    assert spent.mean_j(fps) is None
    quick = Timings(0.1, edge_s=0.1)
    for timings in (TIMINGS, quick):
        spent.add(result(timings))
    wanted = (formula(TIMINGS, fps) + formula(quick, fps)) / 2
    assert spent.mean_j(fps) == pytest.approx(wanted)


def test_nothing_is_known_without_a_device() -> None:
    spent = Consumption(NO_TERMS)
    spent.add(result(TIMINGS))
    assert spent.mean_j(5.0) is None


def test_money_is_of_the_clouds_seconds_and_the_bytes_both_ways(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = summary_of(
        residual_bundle, Terms.named(price_worker_hour=3600, price_gb=1e6), result(TIMINGS)
    )
    # 0.02 s of a worker at 1 a second, and 9400 bytes at 1 a kilobyte
    assert seen["money"] == pytest.approx(0.02 + 9.4)
    assert seen["energy_j"] is None
    print_summary(seen, residual_bundle)
    assert "cost a frame" in capsys.readouterr().out


def summary_of(bundle: Bundle, terms: Terms, *results: Result) -> dict[str, Any]:
    times = iter([0.0])
    tally = Tally(bundle, {}, lambda: next(times, 1.0), terms=terms)
    for one in results:
        tally.add(one, "")
    found = tally.summary(dropped=0, unreadable=0, link=None)
    return {
        **found,
        "cloud": None,
        "server": None,
        "stops": 0,
        "fallbacks": {},
        "switches": 0,
        "hedges": HedgeCounts().summary(),
        "looks": asdict(LookCounts()),
        "slow": 1.0,
        "link_is_measured": True,
    }


def test_summary_has_the_joules_at_the_rate_that_was_seen(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    served = [result(TIMINGS)] * 5
    seen = summary_of(residual_bundle, TERMS, *served, result(TIMINGS, ServedBy.NONE))
    assert seen["energy_j"] == pytest.approx(formula(TIMINGS, 6.0))  # six frames in a second
    print_summary(seen, residual_bundle)
    assert "energy a frame" in capsys.readouterr().out
    asked = summary_of(residual_bundle, Terms.named("phone", fps=2.0), *served)
    assert asked["energy_j"] == pytest.approx(formula(TIMINGS, 2.0))
    alone = summary_of(residual_bundle, TERMS, result(TIMINGS))
    assert alone["energy_j"] == pytest.approx(formula(TIMINGS, None))


def test_work_that_a_hedge_has_dropped_takes_joules_too(residual_bundle: Bundle) -> None:
    hedged = Hedged(0.08, 0.06, device_first=False, dropped_s=0.05)
    seen = summary_of(residual_bundle, TERMS, replace(result(TIMINGS), hedged=hedged))
    more = replace(TIMINGS, edge_s=TIMINGS.edge_s + 0.05)
    assert seen["energy_j"] == pytest.approx(formula(more, None))


def test_summary_says_nothing_of_joules_without_a_device(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = summary_of(residual_bundle, NO_TERMS, result(TIMINGS))
    assert seen["energy_j"] is seen["money"] is None
    print_summary(seen, residual_bundle)
    assert "energy" not in capsys.readouterr().out
