"""A cloud with another calibration: low-bit codecs are left out, everything else goes on as before."""

import shutil
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control.cloud_watch import GREET_EVERY_S
from edge_client.control.offer import Limits
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.calibration.calibrator import calibrate
from partitioner.calibration.measurement import Sample
from partitioner.estimators.circuit_breaker import Circuit
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profile import CodecProfile, Profile
from partitioner.profiles.samples import natural_feeds
from protos.codecs.calibration import Calibration
from protos.codecs.registry import is_calibrated
from protos.errors import MismatchError
from protos.names import CLOUD, EDGE
from tests.kit.clients import breaker_of, follow, loaded, set_clock, stop_watching
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames
from tests.kit.profiles import profile_of

CUT = "cut-04"


def calibrated(bundle: Bundle, folder: Path, seed: int) -> Bundle:
    """Return a copy of the bundle, calibrated on a few inputs."""
    shutil.copytree(bundle.path, folder)
    rng = np.random.default_rng(seed)
    samples = [Sample(natural_feeds(bundle.inputs, rng), None) for _ in range(32)]
    calibrate(bundle, samples).save(folder)
    return Bundle.load(folder)


@pytest.fixture(scope="module")
def bundle(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return calibrated(residual_bundle, tmp_path_factory.mktemp("ours") / "residual", 0)


@pytest.fixture(scope="module")
def theirs(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    other = calibrated(residual_bundle, tmp_path_factory.mktemp("theirs") / "residual", 1)
    assert other.ranges is not None
    return other.ranges


def with_codecs(found: Profile, calibration: str) -> Profile:
    """The profile with q4, which takes an eighth of raw's bytes, and int8, which takes a quarter."""
    cuts = {
        name: cut.model_copy(
            update={
                "codecs": {
                    codec: CodecProfile(
                        encode_s=0, decode_s=0, upload_bytes=cut.frontier_bytes // part + 200
                    )
                    for codec, part in (("raw", 1), ("int8", 4), ("q4", 8))
                }
            }
        )
        if cut.frontier_bytes
        else cut
        for name, cut in found.cuts.items()
    }
    return found.model_copy(update={"cuts": cuts, "calibration_digest": calibration})


@pytest.fixture
def planned(bundle: Bundle) -> Plan:
    """A plan in which the cloud is a hundred times as fast, over a link that makes bytes count."""
    assert bundle.ranges is not None
    edge, cloud = (
        with_codecs(profile_of(bundle, slowness), bundle.ranges.digest) for slowness in (0.2, 0.002)
    )
    found = plan(bundle, Link(2e6, 2e6, 0.0005), edge, cloud, accuracy_drop=100)
    best = min(
        (option for option in found.options if option.codec == "q4"), key=lambda o: o.total_s
    )
    return replace(found, options=(best, *(o for o in found.options if o is not best)))


async def test_edge_moves_to_a_codec_that_needs_none_and_the_cloud_stays_in_use(
    bundle: Bundle, theirs: Calibration, planned: Plan
) -> None:
    inputs = frames(bundle, 3)
    told: list[MismatchError | None] = []
    async with (
        FakeCloud(bundle) as cloud,
        AsyncEdgeClient(cloud.address, bundle, "cloud") as client,
    ):
        follow(client, planned)
        client.control.follow(planned, planned.options[0], "q4", client.control._offered[1])  # type: ignore[index]
        for option in planned.options:
            await loaded(client, option.cut)
        client.control.on_distrust.add(told.append)
        cloud.calibration = theirs
        refused = await client.infer(inputs[0])
        assert (refused.codec, refused.served_by) == ("q4", ServedBy.EDGE)
        assert "the edge's calibration has the digest" in refused.reason
        after = [await client.infer(frame) for frame in inputs[1:]]
        assert [result.served_by for result in after] == [ServedBy.CLOUD] * 2
        assert not any(is_calibrated(result.codec) for result in after)
        assert after[0].reason.startswith("the cloud has another calibration; ")
        assert breaker_of(client).circuit is Circuit.CLOSED
        assert len(told) == 1


async def test_greeting_tells_before_any_frame_and_says_the_way_out(
    bundle: Bundle, theirs: Calibration
) -> None:
    (inputs,) = frames(bundle, 1)
    async with FakeCloud(bundle) as cloud:
        cloud.calibration = theirs
        async with AsyncEdgeClient(cloud.address, bundle, CUT, codec="q4") as client:
            assert "splitpoint-edge fetch residual --cloud" in str(client.trouble)
            assert "calibration.npz" in str(client.trouble)
            result = await client.infer(inputs)
            assert (result.served_by, result.upload_bytes, cloud.requests) == (
                ServedBy.EDGE,
                0,
                [],
            )
            client.set_option(CUT, "int8")
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_cloud_that_gets_the_calibration_is_trusted_again(
    bundle: Bundle, theirs: Calibration
) -> None:
    (inputs,) = frames(bundle, 1)
    async with FakeCloud(bundle) as cloud:
        cloud.calibration = theirs
        async with AsyncEdgeClient(cloud.address, bundle, CUT, codec="q4") as client:
            watch = stop_watching(client)
            await watch.tick()
            assert client.trouble is not None
            cloud.calibration = bundle.ranges
            set_clock(watch, lambda: perf_counter() + GREET_EVERY_S)
            await watch.tick()
            assert client.trouble is None
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_bundle_without_calibration_minds_none(
    residual_bundle: Bundle, theirs: Calibration
) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.calibration = theirs
        async with AsyncEdgeClient(cloud.address, residual_bundle, CUT, codec="int8") as client:
            assert client.trouble is None


async def test_caller_that_wants_failures_gets_the_mismatch(
    bundle: Bundle, theirs: Calibration
) -> None:
    (inputs,) = frames(bundle, 1)
    async with FakeCloud(bundle) as cloud:
        cloud.calibration = theirs
        options = {"codec": "q4", "on_failure": "fail"}
        async with AsyncEdgeClient(cloud.address, bundle, CUT, **options) as client:  # type: ignore[arg-type]
            with pytest.raises(MismatchError, match="another calibration"):
                await client.infer(inputs)


async def test_edge_to_which_nothing_else_is_open_finishes_frames_here_and_asks_again(
    bundle: Bundle, theirs: Calibration, planned: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    """Only q4 of the input fits into the memory: without the calibration no option is left."""
    inputs = frames(bundle, 3)
    only = replace(
        planned, options=tuple(o for o in planned.options if o.codec == "q4" or o.cut == EDGE)
    )
    (whole,) = (option for option in only.options if option.cut == CLOUD)
    async with (
        FakeCloud(bundle) as cloud,
        AsyncEdgeClient(cloud.address, bundle, "cloud") as client,
    ):
        follow(client, planned)
        client.control.follow(only, whole, "q4", Limits(memory_bytes=1))
        for option in planned.options:
            await loaded(client, option.cut)
        cloud.calibration = theirs
        refused = [await client.infer(frame) for frame in inputs[:2]]
        assert [result.served_by for result in refused] == [ServedBy.EDGE] * 2
        assert "no option of the plan stays within" in caplog.text
        assert breaker_of(client).circuit is Circuit.CLOSED
        client.exit_threshold = None  # which prices anew what there is
        cloud.calibration = bundle.ranges
        client.control.distrust(None)
        assert (await client.infer(inputs[2])).served_by is ServedBy.CLOUD
