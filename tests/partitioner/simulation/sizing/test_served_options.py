"""What an engine can serve of a plan: no codec that it does not decode, by the bytes that really cross."""

from functools import partial

import numpy as np
import pytest

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.simulation.sizing.engine import MeasuredRequest, ServingEngine
from partitioner.simulation.sizing.engines import engine_names, load_engine
from partitioner.simulation.sizing.load import FleetLoad, MachineKind, Sampling
from partitioner.simulation.sizing.search import size_fleet
from partitioner.simulation.sizing.served_options import served_plan
from partitioner.simulation.sizing.sized_fleet import Fate
from protos.codecs.plain_tensors import PLAIN_CODECS
from protos.codecs.registry import get_codec
from protos.wire.framing import encode_request
from protos.wire.messages import pack_plain_request
from tests.kit.calibrations import KNOWN, SHAPE, SPEC
from tests.kit.profiles import codec, make

CODED = {f"q{bits}": 5 + 2 * bits for bits in range(2, 7)}
"""Bytes by entropy coding: of 60 zeros nearly nothing."""
CUTS = {
    "cloud": (0.0, 0.100, {"raw": codec(100_000), "jpeg-75": codec(20_000, 0.004, 0.002)}),
    "cut-01": (
        0.030, 0.070,
        {"raw": codec(400), "half": codec(250), "int8": codec(200)}
        | {name: codec(sent) for name, sent in CODED.items()},
    ),
    "edge": (0.100, 0.0, {"raw": codec(0)}),
}  # fmt: skip
LINK = Link(1e6, 1e6, 0.01)
OURS = {f"cut-01/{name}" for name in ("raw", "half", "int8", *CODED)} | {
    "cloud/raw", "cloud/jpeg-75", "edge"
}  # fmt: skip
GRAPHS = {"cloud/raw", "edge", *(f"cut-01/{name}" for name in PLAIN_CODECS)}


@pytest.fixture(scope="module")
def calibrated() -> Plan:
    bundle, profile = make(CUTS)
    (cut,) = bundle.manifest.cuts
    manifest = bundle.manifest.model_copy(
        update={"cuts": (cut.model_copy(update={"frontier": (SPEC,)}),)}
    )
    rows = tuple(
        Accuracy(cut="cut-01", codec=name, samples=400, payload_bytes=10, agreeing=400)
        for name in ("half", "int8", *CODED)
    )
    meta = CalibrationMeta(
        split_digest=manifest.split_digest, digest=KNOWN.digest, values=(), accuracies=rows,
        made_at="2026-01-01T00:00:00+00:00", range_samples=1,
    )  # fmt: skip
    known = Bundle(bundle.path, manifest, BundleCalibration(meta, KNOWN))
    profile = profile.model_copy(
        update={
            "bundle_digest": known.digest,
            "calibration_digest": known.calibration_digest,
        }
    )
    return plan(known, LINK, profile.scaled(3), profile)


def labels(found: Plan) -> set[str]:
    return {option.label for option in found.options}


@pytest.mark.parametrize("name", engine_names())
def test_engine_is_offered_what_it_decodes_and_nothing_else(calibrated: Plan, name: str) -> None:
    exact = {"cloud/raw", "cut-01/raw", "cut-01/half", "edge"}
    wanted = {
        "triton": GRAPHS,
        "kserve": exact | {"cut-01/int8"},  # nothing tells the calibration's digest
        "mlserver": exact | {"cut-01/int8"},
        "fastapi": exact | {"cloud/jpeg-75"},
        "litserve": exact | {"cloud/jpeg-75"},
        "splitpoint": OURS,
        "ray-serve": OURS,
    }
    assert labels(served_plan(calibrated, load_engine(name))) == wanted[name]


def test_bytes_are_those_of_the_message_that_an_edge_sends(calibrated: Plan) -> None:
    graphs = served_plan(calibrated, load_engine("triton"))
    bundle, values = calibrated.bundle, {"x": np.zeros(SHAPE, np.float32)}
    for name in ("q2", "q4"):
        by = get_codec(name, bundle.ranges)
        header, buffers = pack_plain_request(
            bundle.name, "cut-01", "1000", values, (SPEC,), by, "100000000"
        )
        option = graphs[f"cut-01/{name}"]
        assert option.upload_bytes == len(encode_request(header, buffers))
        assert option.upload_bytes > 60 * int(name[1:]) / 8 > CODED[name]
        assert option.network_s == LINK.predict_s(option.upload_bytes, option.download_bytes)
    # What has no entropy coding is as it was measured, and so is all of it by our own decoders.
    assert graphs["cut-01/int8"] == calibrated["cut-01/int8"]
    assert served_plan(calibrated, load_engine("splitpoint")) == calibrated


def test_recommendation_is_one_that_the_engine_can_serve(calibrated: Plan) -> None:
    row = (MeasuredRequest(tail_s=0, request_bytes=0, request_cpu_s=0.001),)
    ours = ServingEngine(name="ours", measured=row, codecs="all")
    graphs = ServingEngine(name="graphs", measured=row)
    load = FleetLoad(devices=20, fps=1.0, p99_s=0.28)
    machine = MachineKind(cores=8, price_hour=0.5, price_gb=100.0)
    size = partial(
        size_fleet, calibrated, LINK, load, machine, [graphs, ours], sampling=Sampling(frames=500)
    )
    best = {one.engine: one for one in size().engines}
    # Traffic is dear: each takes the fewest bytes that it can.
    assert best["ours"].option == "cut-01/q2"
    assert best["graphs"].option == "cut-01/q2"
    assert best["ours"].cost_a_month
    assert best["graphs"].cost_a_month
    sent = served_plan(calibrated, graphs)["cut-01/q2"].upload_bytes - CODED["q2"]
    more = best["graphs"].cost_a_month - best["ours"].cost_a_month
    assert more == pytest.approx(100 * sent * 20 * 3600 * 730 / 1e9)
    only = {one.engine: one for one in size(options=["cut-01/q3"]).engines}
    assert only["ours"].option == "cut-01/q3"
    assert only["graphs"].fate is Fate.UNSERVED
