"""The cut `auto`: the plan's best option, with profiles that hold for this machine."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud_server.server import CloudServer
from edge_client.client import session
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.control import startup_plan
from edge_client.control.startup_plan import best_of, plan_with_cloud, plan_without_cloud
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.transfer import Transfer
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles import profiler, remote
from partitioner.profiles.profile import Machine, Profile
from partitioner.profiles.store import find_profiles, is_of_this_machine, keep_profile
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import (
    BundleError,
    DeniedError,
    FaultError,
    OverloadedError,
    SplitpointError,
    TooLargeError,
    UnauthenticatedError,
    UnreachableError,
)
from protos.rpc.endpoints import Endpoint
from tests.kit.clients import look_again
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames
from tests.kit.profiles import profile_of

LINK = Link(1e6, 1e6, 0.1)


@pytest.fixture(scope="module")
def own_bundle(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A copy with profiles of this machine for both sides."""
    folder = tmp_path_factory.mktemp("choosing") / "residual"
    shutil.copytree(residual_bundle.path, folder)
    bundle = Bundle.load(folder)
    profile = profiler.measure_profile(bundle, RuntimeOptions(), budget_s=0.1)
    profile.save(bundle.profiles / "edge.json")
    profile.scaled(0.2).save(bundle.profiles / "cloud.json")
    return bundle


def test_kept_profiles_and_a_given_link_decide_without_any_server(own_bundle: Bundle) -> None:
    made = plan_with_cloud(own_bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK)
    option, reason = best_of(made)
    assert option.cut == "edge"  # a tiny model: 0.1 s of RTT never pays
    assert made.link == LINK
    assert "predicted on 1.00 Mbit/s up" in reason


def test_plan_of_a_slowed_device_is_that_of_edge_scale(own_bundle: Bundle) -> None:
    edge, cloud = find_profiles(own_bundle, edge_scale=8)
    wanted = plan(own_bundle, LINK, edge, cloud).options
    slowed = plan_with_cloud(own_bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK, slowdown=8)
    assert slowed.options == wanted
    alone = plan_without_cloud(own_bundle, LINK, None, slowdown=8)
    assert alone is not None
    assert alone.options == wanted
    assert find_profiles(own_bundle)[0].scale == 1  # what is kept was measured, at full speed


def test_options_over_the_message_limit_are_left_out(own_bundle: Bundle) -> None:
    edge, cloud = profile_of(own_bundle, 1.0), profile_of(own_bundle, 0.001)
    found = plan(own_bundle, Link(1e12, 1e12, 0.0), edge, cloud)
    best, _ = best_of(found)
    assert best.cut == "cloud"
    limited, _ = best_of(found, max_message_bytes=5000)
    assert limited.upload_bytes <= 5000
    with pytest.raises(TooLargeError, match="every option"):
        best_of(plan_without_edge(found), max_message_bytes=10)


def plan_without_edge(found: object) -> object:
    from dataclasses import replace

    return replace(found, options=found.options[:-1])  # type: ignore[type-var,attr-defined]


def test_profile_of_another_machine_is_measured_again_and_kept(
    own_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_bundle.path, tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    here = Profile.load(bundle.profiles / "edge.json")
    foreign = here.model_copy(update={"machine": here.machine.model_copy(update={"cpu": "Z80"})})
    foreign.save(bundle.profiles / "edge.json")
    assert not is_of_this_machine(foreign, here.machine)
    for other in ({"threads": 2}, {"provider": "CUDAExecutionProvider"}, {"runtime": "ort 0"}):
        assert not is_of_this_machine(here, here.machine.model_copy(update=other))
    assert is_of_this_machine(here, here.machine.model_copy(update={"hostname": "renamed"}))
    monkeypatch.setattr(startup_plan, "MEASURE_S", 0.1)
    steps: list[str] = []
    plan_with_cloud(
        bundle,
        "127.0.0.1:1",
        RuntimeOptions(),
        link=LINK,
        on_progress=lambda s, _d, _t: steps.append(s),
    )
    assert "this device, cut-01 head" in steps
    assert Profile.load(bundle.profiles / "edge.json").machine == here.machine


class Server:
    """What a server says it runs on, and its profile, without a server."""

    def __init__(self, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
        self.profile = profile
        self.machine: Machine | None = profile.machine
        self.measured = 0
        monkeypatch.setattr(remote, "server_machine", self.ask, raising=False)
        monkeypatch.setattr(remote, "measure_remote_profile", self.measure)

    def ask(self, _address: str) -> Machine | None:
        return self.machine

    def measure(self, _address: str, _bundle: Bundle, **_: object) -> Profile:
        self.measured += 1
        assert self.machine is not None
        return self.profile.model_copy(update={"machine": self.machine})


@pytest.mark.parametrize(
    "other",
    [
        {"hostname": "elsewhere"},
        {"cpu": "Z80"},
        {"cores": 1000},
        {"runtime": "onnxruntime 0.1"},
        {"provider": "CUDAExecutionProvider"},
        {"threads": 3},
    ],
)
def test_profile_of_another_server_is_measured_again_once(
    own_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    shutil.copytree(own_bundle.path, tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    kept = Profile.load(bundle.profiles / "cloud.json")
    server = Server(kept, monkeypatch)
    for machine, measured in (
        (kept.machine, 0),
        (None, 0),
        (kept.machine.model_copy(update=other), 1),
    ):
        server.machine = machine
        for _ in range(2):  # what was measured is kept, and fits then
            plan_with_cloud(bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK)
        assert server.measured == measured


def test_memory_of_the_measuring_is_given_back_before_the_first_frame(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(Profile.load(own_bundle.profiles / "cloud.json"), monkeypatch)
    released: list[bool] = []
    monkeypatch.setattr(startup_plan, "release_freed_pages", lambda: released.append(True))
    plan_with_cloud(own_bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK)
    assert released == [True]


def test_client_measures_profiles_and_link_and_streams_with_the_best_cut(
    onnx_files: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = import_model(onnx_files("residual"), tmp_path / "b", ImportOptions(max_cuts=1))
    monkeypatch.setattr(startup_plan, "MEASURE_S", 0.1)
    with (
        CloudServer(bundles=tmp_path / "b", listen="127.0.0.1:0") as server,
        EdgeClient(server.address, tmp_path / "b") as client,
    ):
        assert client.link is not None
        results = list(client.stream(frames(bundle, 3)))
        assert all(" expected on " in result.reason for result in results)
    assert (tmp_path / "b/profiles/cloud.json").exists()
    assert (tmp_path / "b/profiles/edge.json").exists()


async def test_client_of_a_slowed_device_plans_for_that_device(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(Profile.load(own_bundle.profiles / "cloud.json"), monkeypatch)
    wanted = plan_with_cloud(own_bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK, slowdown=8)
    async with (
        FakeCloud(own_bundle) as cloud,
        AsyncEdgeClient(cloud.address, own_bundle, link=LINK, slow=8) as client,
    ):
        assert client.choice.option == best_of(wanted)[0]


async def test_cut_that_the_caller_sets_while_auto_measures_stays(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(Profile.load(own_bundle.profiles / "cloud.json"), monkeypatch)

    def set_meanwhile(*args: object, **options: object) -> object:
        client.set_option("cut-01")
        return plan_with_cloud(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "plan_with_cloud", set_meanwhile)
    async with FakeCloud(own_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, own_bundle, "auto", link=LINK)
        async with client:
            assert client.choice.cut.id == "cut-01"
            assert not client.control.adapts


def test_link_that_is_only_guessed_is_not_told(own_bundle: Bundle) -> None:
    with EdgeClient("127.0.0.1:1", own_bundle) as client:
        control = client.asynchronous.control
        assert control.learned.link is not None  # what it plans with
        assert client.link is None
        control.learned.crossed(Transfer(1000, 100, 0.0, 0.1, 0.0))
        assert client.link == control.learned.link
    with EdgeClient("127.0.0.1:1", own_bundle, link=LINK) as client:
        assert client.link is not None
        assert client.link.rtt_s == LINK.rtt_s


def test_folder_that_cannot_be_written_costs_only_the_keeping(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = Profile.load(own_bundle.profiles / "edge.json")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Profile, "save", refuse)
    assert keep_profile(own_bundle, "edge.json", profile) is profile


async def test_closing_while_it_measures_ends_the_measuring(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "b")
    loop, heard, steps = asyncio.get_running_loop(), asyncio.Event(), []

    def note(step: str, _done: int, _total: int) -> None:
        steps.append(step)
        loop.call_soon_threadsafe(heard.set)

    async with FakeCloud(residual_bundle) as cloud:
        client = AsyncEdgeClient(cloud.address, tmp_path / "b", on_progress=note)
        connecting = asyncio.create_task(client.connect())
        await heard.wait()
        connecting.cancel()
        await client.close()
        await loop.shutdown_default_executor()  # returns when the measuring thread has ended
    assert len(steps) < 2 * len(residual_bundle.cuts)
    assert not (tmp_path / "b/profiles/edge.json").exists()


@pytest.mark.parametrize(
    "error", [OverloadedError("busy."), UnreachableError("gone."), FaultError("odd.")]
)
async def test_cloud_that_cannot_be_measured_now_is_measured_when_it_can(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, error: SplitpointError
) -> None:
    Server(Profile.load(own_bundle.profiles / "cloud.json"), monkeypatch)
    errors = iter([error])

    def refused_once(*args: object, **options: object) -> object:
        for each in errors:
            raise each
        return plan_with_cloud(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "plan_with_cloud", refused_once)
    (inputs,) = frames(own_bundle, 1)
    async with FakeCloud(own_bundle) as cloud:
        async with AsyncEdgeClient(cloud.address, own_bundle, "auto", link=LINK) as client:
            assert client.cloud_is_away
            assert client.trouble is error
            assert (await client.infer(inputs)).served_by is ServedBy.EDGE
            await look_again(client)
            assert not client.cloud_is_away
            assert client.control.adapts
        errors = iter([error])
        strict = AsyncEdgeClient(cloud.address, own_bundle, "auto", link=LINK, on_failure="fail")
        with pytest.raises(type(error), match=str(error)):
            await strict.connect()
        await strict.close()


def test_profile_that_cannot_be_kept_serves_all_the_same(
    own_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_bundle.path, tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    measured = Profile.load(bundle.profiles / "edge.json")
    monkeypatch.setattr(profiler, "measure_profile", lambda *_, **__: measured)
    monkeypatch.setattr(remote, "measure_remote_profile", lambda *_, **__: measured)
    shutil.rmtree(bundle.profiles)
    bundle.profiles.write_text("no folder, as on a volume that is mounted read-only")
    assert plan_with_cloud(bundle, "127.0.0.1:1", RuntimeOptions(), link=LINK).edge is measured


@pytest.mark.parametrize(
    ("document", "says"),
    [('{"cuts": {', "no JSON"), ('{"cuts": {}, "new": 1}', "the same version of Splitpoint")],
)
def test_profile_that_makes_no_sense_is_a_fault(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, document: str, says: str
) -> None:
    class Damaged:
        def __init__(self, _channel: object) -> None:
            pass

        def MeasureProfile(self, _request: object, timeout: float) -> list[object]:  # noqa: N802
            return [SimpleNamespace(stage="", done=1, total=1, profile_json=document)]

    monkeypatch.setattr(remote, "SplitpointStub", Damaged)
    with pytest.raises(FaultError, match=says):
        remote.measure_remote_profile("127.0.0.1:1", own_bundle, 1.0)


def test_tail_that_the_server_cannot_load_is_its_fault_not_that_of_the_bundle_here(
    own_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> Profile:
        raise BundleError("the runtime cannot load cut-03: out of memory. Free memory.")

    monkeypatch.setattr(profiler, "measure_profile", refuse)
    with (
        CloudServer(own_bundle.path) as server,
        pytest.raises(FaultError, match=r"cannot measure: .* Free memory"),
    ):
        remote.measure_remote_profile(server.address, own_bundle, 1.0)


def test_auto_keeps_the_accuracy_bound(
    calibrated: Bundle, calibrated_profile: Profile, calibrated_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "image"
    shutil.copytree(calibrated.path, folder)
    bundle = Bundle.load(folder)
    calibrated_profile.scaled(1000).save(bundle.profiles / "edge.json")
    calibrated_profile.save(bundle.profiles / "cloud.json")
    for bound in (0.0, 100.0):
        made = plan_with_cloud(
            bundle,
            calibrated_address,
            RuntimeOptions(),
            link=Link(1e5, 1e5, 0.0),
            accuracy_drop=bound,
        )
        best, _ = best_of(made)
        lost = best.accuracy.drop_points if best.accuracy else 0.0
        assert lost <= bound


def denied(error: SplitpointError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> Profile:
        raise error

    monkeypatch.setattr(remote, "server_machine", lambda _: None)
    monkeypatch.setattr(remote, "measure_remote_profile", refuse)


def test_server_that_may_not_be_measured_is_guessed_and_used(
    own_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(own_bundle.path, tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    (bundle.profiles / "cloud.json").unlink()
    denied(DeniedError("device cam lacks the role profile."), monkeypatch)
    made = plan_with_cloud(
        bundle, Endpoint("127.0.0.1:1"), RuntimeOptions(), link=LINK, slowdown=8.0
    )
    here = Profile.load(bundle.profiles / "edge.json")
    assert made.cloud.cuts == here.scaled(0.2).cuts
    assert made.edge.cuts == here.scaled(8.0).cuts
    assert "guessed until its answers tell them: device cam lacks the role" in caplog.text
    assert not (bundle.profiles / "cloud.json").exists()  # a guess is not kept


def test_server_that_does_not_know_who_asks_is_not_guessed(
    own_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_bundle.path, tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    (bundle.profiles / "cloud.json").unlink()
    denied(UnauthenticatedError("no token."), monkeypatch)
    with pytest.raises(UnauthenticatedError):
        plan_with_cloud(bundle, Endpoint("127.0.0.1:1"), RuntimeOptions(), link=LINK)
