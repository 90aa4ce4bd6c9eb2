"""The simulator against the edge: the same frames over the same trace, really and simulated."""

import shutil
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.serving import served
from partitioner.bundle.bundle import Bundle
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.plan import plan
from partitioner.profiles.profile import CodecProfile
from protos.names import EDGE
from tests.kit.played_runs import label_of, play_in_simulator, play_really
from tests.kit.profiles import profile_of
from tests.kit.quiet import watching
from tests.kit.traces import trace

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
FPS, SLOWDOWN = 3.0, 40.0
WHOLE_S = 0.006
"""What the model takes here, about; both learn how far that is off."""


def with_outages() -> Trace:
    """8 Mbit/s with two outages: one that is over before the watch gives the link up, and one that is not."""
    return trace((0, 8), (1.5, 0), (4.5, 8), (6.5, 0), (12.5, 8), duration=14, rtt_s=0.03)


@pytest.mark.slow
async def test_simulated_run_over_outages_is_like_the_real_one(tmp_path: Path) -> None:
    """What a busy machine does to a real run, no simulator can know: only quiet runs are judged."""
    for attempt in range(2):
        with watching() as quiet:
            apart = await differences(tmp_path / str(attempt))
        if not apart:
            return
        if quiet:
            raise AssertionError(apart)
    pytest.skip("this machine has other work: what a run takes on it tells nothing")


async def differences(folder: Path) -> str:
    """Run the same frames really and simulated; return what is not alike, empty: nothing."""
    bundle = Bundle.load(shutil.copytree(DIGITS / "bundle", folder / "digits"))
    machine = profile_of(bundle, WHOLE_S)
    machine.cuts["cloud"].codecs["jpeg-75"] = CodecProfile(
        encode_s=0.001, decode_s=0.001, upload_bytes=12_000
    )
    made = plan(bundle, Link(8e6, 1e7, 0.03), machine.scaled(SLOWDOWN), machine)
    kept = ("cloud/jpeg-75", EDGE)
    made = replace(made, options=tuple(o for o in made.options if o.label in kept))
    frames = load_inputs(DIGITS / "frames", bundle.inputs)
    with served(folder) as address:
        results, taken = await play_really(address, bundle, made, with_outages(), frames, FPS)
    run = play_in_simulator(made, with_outages(), taken, FPS, len(results))

    hedged = [result.hedged for result in results if result.hedged is not None]
    here = sum(result.served_by == "edge" for result in results)
    shares = Counter(label_of(result) for result in results)
    pairs = {
        "mean seconds": (
            run.mean_s,
            statistics.fmean(r.latency_s for r in results),
            0.1 * run.mean_s,
        ),
        "hedged": (run.hedged, len(hedged), 2),
        "hedges won": (run.hedges_won, sum(one.device_first for one in hedged), 2),
        "finished here": (sum(p.served_by == "edge" for p in run.passages), here, 5),
        **{
            f"share of {label}": (run.shares.get(label, 0.0), shares[label] / len(results), 0.1)
            for label in kept
        },
    }
    if here < 6 or not hedged:
        return (
            f"{here} frames finished here and {len(hedged)} hedged, as if there had been no outage"
        )
    return ", ".join(
        f"{what}: {simulated:.3g} simulated and {real:.3g} real"
        for what, (simulated, real, most) in pairs.items()
        if abs(simulated - real) > most
    )
