"""Settings of the policy: their limit, and the weight that a low battery gives to energy."""

import pytest

from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.terms import Terms
from partitioner.policy.power_rules import PowerDemand
from partitioner.policy.settings import PolicySettings
from protos.errors import UsageError
from tests.kit.plans import BOARD, RADIO

LOW = PowerDemand(("low",), 3.0, None, seconds_per_joule=0.1)


def test_energy_weighs_more_under_a_demand_where_joules_are_known_and_nowhere_else() -> None:
    known = PolicySettings(terms=Terms(device=BOARD, radio=RADIO), window=7)
    shifted = known.under(LOW)
    assert shifted.objective.weights == pytest.approx({"latency": 1.0, "energy": 0.3})
    assert (shifted.terms, shifted.window) == (known.terms, 7)
    assert known.objective == LATENCY
    assert PolicySettings().under(LOW) == PolicySettings()


def test_objective_that_the_terms_know_too_little_for_is_refused() -> None:
    with pytest.raises(UsageError, match="energy is not known without `device`"):
        PolicySettings(objective=Objective({"energy": 1.0}))


@pytest.mark.parametrize(
    ("deadline_s", "latency_s", "limit_s", "words"),
    [
        (0.1, None, 0.1, "the deadline of 100 ms"),
        (0.1, 0.05, 0.05, "a latency of 50.0 ms"),
        (None, 0.05, 0.05, "a latency of 50.0 ms"),
    ],
)
def test_limit_is_the_latency_where_one_is_given_and_else_the_deadline(
    deadline_s: float | None, latency_s: float | None, limit_s: float, words: str
) -> None:
    settings = PolicySettings(deadline_s=deadline_s, latency_s=latency_s)
    assert (settings.limit_s, settings.limit) == (limit_s, words)
