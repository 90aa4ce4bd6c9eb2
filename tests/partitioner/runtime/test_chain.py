"""Tails computed by segments that several tails share."""

from collections.abc import Callable

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import Stage, random_feeds
from protos.names import CLOUD, EDGE
from tests.kit import models


@pytest.fixture(params=sorted(models.ZOO))
def any_bundle(request: pytest.FixtureRequest, bundles: Callable[[str], Bundle]) -> Bundle:
    return bundles(request.param)


@pytest.mark.parametrize("batch", [1, 3])
def test_chain_gives_what_the_tail_gives_at_every_cut(any_bundle: Bundle, batch: int) -> None:
    opened: dict[str, Stage] = {}
    feeds = random_feeds(any_bundle.inputs, np.random.default_rng(1), batch)
    for cut_id in any_bundle.cuts:
        if cut_id == EDGE:
            continue
        values = feeds if cut_id == CLOUD else any_bundle.open_head(cut_id).run(feeds)
        chain = any_bundle.open_chain(cut_id, opened)
        assert chain is not None
        whole, shared = any_bundle.open_tail(cut_id).run(values), chain.run(values)
        assert list(shared) == list(whole)
        for name, array in whole.items():
            np.testing.assert_allclose(shared[name], array, rtol=1e-4, atol=1e-5)


def test_tails_share_their_segments(any_bundle: Bundle) -> None:
    opened: dict[str, Stage] = {}
    chains = [any_bundle.open_chain(cut_id, opened) for cut_id in any_bundle.cuts if cut_id != EDGE]
    assert len(opened) == len(any_bundle.manifest.segments)
    distinct = {id(segment) for chain in chains if chain for segment in chain.segments}
    assert len(distinct) == len(opened)
