"""What a plan is asked for: terms, and objectives as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.planning.costs import Costs
from partitioner.planning.metrics import METRICS
from partitioner.planning.objective import Objective
from partitioner.planning.terms import Prices, Terms
from protos.errors import UsageError
from tests.kit.plans import BOARD, RADIO, costs_of, example


def test_terms_that_lack_something_are_refused() -> None:
    for text, match in (("energy", "`device` NAME"), ("cost", "`price_worker_hour` or `price_gb`")):
        with pytest.raises(UsageError, match=match):
            Objective.parse(text).score(costs_of(example(), Terms()))
    with pytest.raises(UsageError, match="`sustained` needs a device and a rate"):
        Terms(device=BOARD, sustained=True)
    with pytest.raises(UsageError, match="`radio` needs"):
        Terms(radio=RADIO)
    with pytest.raises(UsageError, match="`workers` 0"):
        Terms(workers=0)
    for fps in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match="`fps`"):
            Terms(fps=fps)
    for wrong in (-0.1, math.inf, math.nan):
        with pytest.raises(UsageError, match="`price_gb`"):
            Prices(gb=wrong)


def test_misspelt_metric_is_named_once_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="^'lateny' cannot be minimised. Did you mean latency\\?"):
        Objective.parse("lateny")
    with pytest.raises(UsageError, match="^'latency=1,enrgy=2': 'enrgy' .* Did you mean energy\\?"):
        Objective.parse("latency=1,enrgy=2")


def test_throughput_alone_is_to_be_large_and_all_else_small() -> None:
    assert Objective.parse("throughput").goal == "largest throughput"
    assert Objective.parse("p95").goal == "smallest p95"
    both = Objective.parse("latency=1,throughput=2")  # seconds of the slowest stage
    assert both.goal == "smallest 1·latency + 2·throughput"


def test_weights_are_read() -> None:
    assert Objective.parse("p95") == Objective({"p95": 1.0})
    assert Objective.parse("bytes=2").weights == {"bytes": 2.0}
    weighted = Objective.parse("latency=1, energy=0.2,bytes=1e-6,cost=1000")
    assert weighted.weights == {"latency": 1.0, "energy": 0.2, "bytes": 1e-6, "cost": 1000.0}
    assert str(weighted) == "1·latency + 0.2·energy + 1e-06·bytes + 1000·cost"
    found = Costs(
        edge_s=0.1, latency_s=0.5, p95_s=1, bottleneck_s=1, bytes=1e5, energy_j=2, money=1e-4
    )
    # 0.5 s + 0.2 * 2 J + 1e-6 * 100,000 B + 1,000 * 0.0001.
    assert weighted.score(found) == pytest.approx(0.5 + 0.4 + 0.1 + 0.1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("speed", "'speed' cannot be minimised. Choose from: latency, p95"),
        ("latency=1,latency=2", "stands there twice"),
        ("latency=fast", "'fast' is no weight"),
        ("latency=-1", "no weight"),
        ("latency=inf", "no weight"),
        ("latency=0", "minimises nothing"),
        ("latency,energy", "lacks a weight"),
        ("latency=1,energy", "lacks a weight"),
        ("", "Choose from: latency"),
    ],
)
def test_senseless_weights_are_refused(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Objective.parse(text)


@given(st.dictionaries(st.sampled_from(sorted(METRICS)), st.floats(0.001, 1000), min_size=1))
def test_weights_survive_being_written_and_read(weights: dict[str, float]) -> None:
    text = ",".join(f"{name}={weight!r}" for name, weight in weights.items())
    assert Objective.parse(text).weights == weights
