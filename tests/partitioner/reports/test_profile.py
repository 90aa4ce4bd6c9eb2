"""A profile as text."""

from dataclasses import replace

import pytest

from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import Timing
from partitioner.reports.plans.plan import scale_text
from partitioner.reports.profile import noise_text
from tests.kit.profiles import EXAMPLE, make


def test_profile_of_a_busy_machine_is_remarked_on() -> None:
    bundle, quiet = make(EXAMPLE)
    assert quiet.spread == 0
    timing = Timing(median_s=0.1, p10_s=0.06, p90_s=0.12, repeats=5)
    edge = quiet.cuts["edge"]
    assert edge.head is not None
    cut = edge.model_copy(update={"head": edge.head.model_copy(update={"timing": timing})})
    busy = quiet.model_copy(update={"cuts": {"edge": cut}})
    assert busy.spread == pytest.approx(0.6)  # (0.12 - 0.06) / 0.1
    assert noise_text(quiet, "cloud") is None
    whole = plan(bundle, Link(1e6, 1e6, 0.01), quiet, quiet)
    said = scale_text(replace(whole, edge=busy, cloud=busy.scaled(0.5))) or ""
    assert said.count("the edge's times vary by 60 % from p10 to p90") == 1
    assert "cloud's times vary" not in said
