"""The plan's arithmetic, by hand; its switching points against a search on a grid."""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import ExitCost
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.network.link import Link
from partitioner.planning.costs import price
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.planning.terms import Terms
from partitioner.policy.conditions import Conditions
from partitioner.policy.hedges import Hedging
from partitioner.policy.policy import expected_s
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profile import CutProfile, Estimate
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.store import find_profiles
from protos.errors import ProfileError, UnknownNameError, UsageError
from tests.kit.profiles import EXAMPLE, codec, make

WITH_EXITS = {
    "cloud": (0.0, 0.100, {"raw": codec(20_000)}),
    "cut-01": (0.030, 0.070, {"raw": codec(10_000, 0.001, 0.001)}),
    "edge": (0.100, 0.0, {"raw": codec(0)}),
}
LINK = Link(1e6, 2e6, 0.05)


def test_costs_by_hand() -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 2e6, 0.05), profile, profile.scaled(0.1))
    by_label = {option.label: option for option in made.options}
    assert list(by_label) == ["cloud/raw", "cloud/jpeg-75", "cut-01/raw", "edge"]
    # jpeg: 4 ms encode; 50 ms RTT + 160,000 bit / 1 Mbit/s + 8,000 bit / 2 Mbit/s; a tenth of 2 + 100 ms.
    jpeg = by_label["cloud/jpeg-75"]
    assert jpeg.edge_s == pytest.approx(0.004)
    assert jpeg.network_s == pytest.approx(0.05 + 0.16 + 0.004)
    assert jpeg.cloud_s == pytest.approx(0.0102)
    assert jpeg.total_s == pytest.approx(0.2282)
    # cut-01: 30 + 1 ms; 50 + 80 + 4 ms; a tenth of 1 + 70 ms.
    assert by_label["cut-01/raw"].total_s == pytest.approx(0.031 + 0.134 + 0.0071)
    assert by_label["edge"].total_s == pytest.approx(0.100)
    assert made.best.label == "edge"


def test_resuming_costs_each_machine_that_a_frame_reaches_once() -> None:
    cuts = {
        "cloud": (0, 0.020, {"raw": codec(1000)}),
        "c1": (0.010, 0.008, {"raw": codec(500, 0.001, 0.002)}),
        "edge": (0.030, 0, {}),
    }
    bundle, profile = make(cuts)
    edge = profile.model_copy(update={"resume_s": 0.0004})
    cloud = profile.model_copy(update={"resume_s": 0.0003}).scaled(2)
    made = plan(bundle, Link(1e6, 1e6, 0.0), edge, cloud)
    # edge: 0.4 ms + head + encoding; cloud: twice (0.3 ms + decoding + tail); nothing where nobody is asked
    expected = {"cloud": (0.0004, 0.0406), "c1": (0.0114, 0.0206), "edge": (0.0304, 0.0)}
    for option in made.options:
        assert (option.edge_s, option.cloud_s) == pytest.approx(expected[option.cut])


def test_each_stage_costs_what_it_resumes_in_and_machines_without_a_stage_do_not() -> None:
    cuts = {
        "cloud": (0, 0.020, {"raw": codec(1000)}),
        "c1": (0.010, 0.008, {"raw": codec(500, 0.001, 0.002)}),
        "edge": (0.030, 0, {}),
    }
    bundle, profile = make(cuts)
    resumed = {name: resuming(cut, 0.0016, 0.0018) for name, cut in profile.cuts.items()}
    made = plan(
        bundle, Link(1e6, 1e6, 0.0), *[profile.model_copy(update={"cuts": resumed}).scaled(2)] * 2
    )
    expected = {"cloud": (0, 0.0436), "c1": (0.0252, 0.0236), "edge": (0.0632, 0)}
    for option in made.options:
        assert (option.edge_s, option.cloud_s) == pytest.approx(expected[option.cut])


def resuming(cut: CutProfile, head_s: float, tail_s: float) -> CutProfile:
    """Return a cut of which head and tail take so much longer in frames."""
    head = cut.head and cut.head.model_copy(update={"resume_s": head_s})
    tail = cut.tail and cut.tail.model_copy(update={"resume_s": tail_s})
    return cut.model_copy(update={"head": head, "tail": tail})


def test_crossing_costs_the_device_that_sends_and_is_known_apart() -> None:
    cuts = {
        "cloud": (0, 0.020, {"raw": codec(1000)}),
        "c1": (0.010, 0.008, {"raw": codec(500, 0.001, 0.002)}),
        "edge": (0.030, 0, {}),
    }
    bundle, profile = make(cuts)
    slow = profile.model_copy(update={"resume_s": 0.0004, "crossing_s": 0.0002}).scaled(3)
    made = plan(bundle, Link(1e6, 1e6, 0.0), slow, profile)
    # three times 0.4 ms + head + encoding, and three times 0.2 ms where anything is sent
    expected = {"cloud": (0.0018, 0.0018), "c1": (0.0348, 0.0018), "edge": (0.0912, 0.0012)}
    for option in made.options:
        assert (option.edge_s, option.handing_s) == pytest.approx(expected[option.cut])
        assert option.cloud_s == pytest.approx({"cloud": 0.020, "c1": 0.010, "edge": 0}[option.cut])


def test_best_changes_where_two_lines_cross() -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e9, 0.0), profile, profile.scaled(0.1))
    labels = [(switch.below.label, switch.above.label) for switch in made.switches()]
    assert labels == [
        ("edge", "cut-01/raw"),
        ("cut-01/raw", "cloud/jpeg-75"),
        ("cloud/jpeg-75", "cloud/raw"),
    ]
    # edge takes 100 ms; cut-01 takes 31 + 7.1 ms, 8 µs down, and 80,000 bit up: equal at 61.892 ms.
    assert made.switches()[0].uplink_bps == pytest.approx(80_000 / (0.1 - 0.0381 - 8000 / 1e9))


costs = st.floats(0.001, 1.0)
sizes = st.integers(100, 1_000_000)


@settings(max_examples=200)
@given(st.lists(st.tuples(costs, costs, sizes), min_size=1, max_size=8), costs)
@pytest.mark.slow
def test_switches_agree_with_a_search_at_every_bandwidth(
    cuts: list[tuple[float, float, int]], edge_s: float
) -> None:
    table = {
        f"cut-{at:02d}": (head, tail, {"raw": codec(size)})
        for at, (head, tail, size) in enumerate(cuts)
    }
    bundle, profile = make(
        {
            "cloud": (0.0, 1.0, {"raw": codec(10_000)}),
            **table,
            "edge": (edge_s, 0.0, {"raw": codec(0)}),
        }
    )
    made = plan(bundle, Link(1e6, 1e7, 0.01), profile, profile)
    switches = made.switches()
    assert [s.uplink_bps for s in switches] == sorted(s.uplink_bps for s in switches)
    for uplink in np.geomspace(1e3, 1e10, 60):
        moved = made.at(Link(uplink, 1e7, 0.01))
        chosen = switches[0].below if switches else made.best
        for switch in switches:
            if uplink > switch.uplink_bps:
                chosen = switch.above
        total = next(o.total_s for o in moved.options if o.label == chosen.label)
        assert total == pytest.approx(moved.best.total_s, rel=1e-9)


def test_codec_narrows_the_options_and_edge_stays() -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e6, 0.0), profile, profile, codec="raw")
    assert [option.label for option in made.options] == ["cloud/raw", "cut-01/raw", "edge"]


def test_codec_that_was_not_measured_is_refused() -> None:
    bundle, profile = make(EXAMPLE)
    for name, match in (
        ("sepia", "Use raw, half"),
        ("jpeg-30", "jpeg-30.*jpeg-75, raw; or measure both sides again, if .* calibrated since"),
        ("q4", "q4.*jpeg-75, raw; or calibrate the bundle, which q4 needs, and measure again"),
    ):
        with pytest.raises(UnknownNameError, match=match):
            plan(bundle, Link(1e6, 1e6, 0.0), profile, profile, codec=name)


def test_short_name_of_a_codec_is_understood() -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e6, 0.0), profile, profile, codec="jpeg")
    assert [option.label for option in made.options] == ["cloud/jpeg-75", "edge"]


def test_profile_of_another_bundle_is_refused() -> None:
    bundle, profile = make(EXAMPLE)
    other = profile.model_copy(update={"bundle_digest": "0" * 64})
    with pytest.raises(ProfileError, match="cloud profile is of bundle"):
        plan(bundle, Link(1e6, 1e6, 0.0), profile, other)


@pytest.mark.parametrize("scale", [0, -1, 1e308, 1e-308, float("inf"), float("nan")])
def test_senseless_scale_is_refused(scale: float, residual_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="`edge_scale`"):
        find_profiles(residual_bundle, edge_scale=scale)


def test_plan_with_exits_by_hand() -> None:
    bundle, profile = make(WITH_EXITS)
    plain = plan(bundle, LINK, profile, profile.scaled(0.1))
    made = plain.with_exits({"cut-01": ExitCost(rate=0.6, head_share=0.1)})
    option = next(option for option in made.options if option.cut == "cut-01")
    assert option.exit_s == pytest.approx(0.003)  # a tenth of the head's 30 ms
    # Device 30 + 1 + 3 ms; 40 % of: network 50 + 80 + 4 ms, cloud a tenth of 1 + 70 ms.
    assert option.total_s == pytest.approx(0.034 + 0.4 * (0.134 + 0.0071))
    assert made.best is option  # 90.4 ms, before the edge's 100
    assert plain.best.cut == "edge"
    # With a load of 2 on the device and 3 in the cloud, whose queue takes 5 ms:
    seen = Conditions(LinkEstimate(LINK, 0, 0, 0), edge_load=2, cloud_load=3, cloud_queue_s=0.005)
    waits = PolicySettings(hedging=Hedging("off"))
    wanted_s = 2 * 0.034 + 0.4 * (0.134 + 0.005 + 3 * 0.0071)
    assert expected_s(option, seen, waits) == pytest.approx(wanted_s)
    # The tail takes 140 ms here: sooner than the 160 of the cloud, for the fifth that may be hedged.
    assert expected_s(option, seen) == pytest.approx(wanted_s - 0.4 * 0.2 * (0.1603 - 0.140))
    # On average 40 % of 10,000 bytes up and 1,000 down; p95 is that of a frame that crosses.
    costs = price(option, made, Terms())
    assert costs.bytes == pytest.approx(4400)
    assert costs.latency_s == pytest.approx(option.total_s)
    assert costs.p95_s == pytest.approx(0.034 + 0.134 + 0.0071)
    assert made.with_exits({}).options == plain.options
    # cut-01 and edge are equal where 34 + 0.4 * (50 + 4 + 7.1 + 80 / Mbit/s) = 100: at 0.7698 Mbit/s.
    switches = {(s.below.cut, s.above.cut): s.uplink_bps for s in made.switches()}
    assert switches["edge", "cut-01"] == pytest.approx(0.032 / (0.066 - 0.4 * 0.0611) * 1e6)


def test_exit_takes_its_share_of_what_its_head_takes_in_a_frame() -> None:
    bundle, profile = make(WITH_EXITS)
    head = profile.cuts["cut-01"].head
    assert head is not None
    estimate = Estimate(seconds=0.02, alone_s=0.03, error_s=0.0, repeats=5)
    known = head.model_copy(update={"estimate": estimate, "resume_s": 0.005})
    cut = profile.cuts["cut-01"].model_copy(update={"head": known})
    here = profile.model_copy(update={"cuts": {**profile.cuts, "cut-01": cut}})
    made = plan(bundle, LINK, here, here).with_exits({"cut-01": ExitCost(0.6, head_share=0.1)})
    assert made["cut-01/raw"].exit_s == pytest.approx(0.1 * 0.025)


def test_bundle_profiles_and_link_may_be_given_as_paths_and_text(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    profile = measure_profile(residual_bundle, budget_s=0.1)
    file = tmp_path / "profile.json"
    profile.save(file)
    whole = plan(residual_bundle, Link(10e6, 10e6, 0.02), profile, profile)
    named = plan(str(residual_bundle.path), "10mbit,20ms", str(file), file)
    assert (named.link, named.options) == (whole.link, whole.options)
    assert named.at("1mbit,5ms").options == whole.at(Link(1e6, 1e6, 0.005)).options


@pytest.mark.parametrize(
    ("place", "wrong", "sentence"),
    [
        (0, 5, "`bundle` is 5, of type int. Give a path of its folder, or a Bundle"),
        (1, 10.0, "`link` is 10.0, of type float. Give a Link, or text such as '10mbit,20ms'"),
        (1, "10mbit", "'10mbit' is no link"),
        (2, None, "`edge` is None, of type NoneType. Give a Profile or the path of its file"),
        (3, {}, "`cloud` is {}, of type dict. Give a Profile or the path of its file"),
    ],
)
def test_argument_of_a_wrong_type_is_told_what_was_wanted(
    place: int, wrong: Any, sentence: str
) -> None:
    bundle, profile = make(EXAMPLE)
    args: list[Any] = [bundle, Link(1e6, 1e6, 0.0), profile, profile]
    args[place] = wrong
    with pytest.raises(UsageError, match=re.escape(sentence)):
        plan(*args)


def test_bound_that_is_text_and_plan_that_is_none_are_told() -> None:
    bundle, profile = make(EXAMPLE)
    with pytest.raises(UsageError, match="`accuracy_drop` is 'few', of type str. Give a number"):
        plan(bundle, "1mbit,5ms", profile, profile, accuracy_drop=cast(Any, "few"))
    with pytest.raises(UsageError, match=r"Give a Plan, as plan\(bundle, link, edge, cloud\)"):
        select(cast(Any, bundle))
