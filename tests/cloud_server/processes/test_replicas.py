"""Servers of two processes: one port, one view of what is served, and no process too many."""

import signal
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloud_server.security.device_file import changing
from cloud_server.security.registered_device import Limits
from cloud_server.security.registration import revoked
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos import inference_pb2 as oip
from protos import splitpoint_pb2 as sp
from tests.kit.certificates import Authority
from tests.kit.cloud_calls import (
    TIMEOUT_S,
    connected,
    crossing,
    oip_stub,
    outputs_of,
    refused,
    request_for,
    splitpoint_stub,
    stream_all,
    uncut,
)
from tests.kit.devices import NOW, enrol, showing
from tests.kit.process_groups import family, holders, reaching_all, serving_in
from tests.kit.server_process import wait_for_line
from tests.kit.versions import SHIFT, make_version
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

CUT = "cut-03"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def request_of(bundle: Bundle, seed: int) -> oip.ModelInferRequest:
    """A request that asks for the default version, whatever that is."""
    made = request_for(bundle, CUT, crossing(bundle, CUT, seed), frame_id=str(seed))
    made.parameters.clear()
    return made


def answered(channel: grpc.Channel, request: oip.ModelInferRequest) -> Any:
    (value,) = outputs_of(oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)).values()
    return value


def expected(bundle: Bundle, seed: int) -> Any:
    (value,) = uncut(bundle, seed).values()
    return value


def successes(channel: grpc.Channel) -> int:
    answer = oip_stub(channel).ModelStatistics(oip.ModelStatisticsRequest(), timeout=TIMEOUT_S)
    return sum(one.inference_stats.success.count for one in answer.model_stats)


def is_ready(channel: grpc.Channel) -> bool:
    return bool(oip_stub(channel).ServerReady(oip.ServerReadyRequest(), timeout=TIMEOUT_S).ready)


def metrics_of(http: str) -> dict[str, list[Any]]:
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=TIMEOUT_S) as page:
        text = page.read().decode()
    found: dict[str, list[Any]] = {}
    for family_ in text_string_to_metric_families(text):
        for sample in family_.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_both_processes_answer_as_the_whole_model_and_count_as_one_server(folder: Path) -> None:
    bundle = make_version(folder / "net", 0)
    with serving_in(2, folder, "--http", "127.0.0.1:0") as (process, ready):
        everybody = family(process)
        with reaching_all(ready["address"], everybody) as channels:
            for seed, channel in enumerate(channels):
                request = request_of(bundle, seed)
                np.testing.assert_allclose(
                    answered(channel, request), expected(bundle, seed), rtol=1e-4, atol=1e-4
                )
                answers = stream_all(channel, [request.SerializeToString()] * 3)
                (_, _, outputs) = answers[str(seed)]
                np.testing.assert_array_equal(
                    next(iter(outputs.values())), answered(channel, request)
                )
            asked = 5 * len(channels)
            assert [successes(channel) for channel in channels] == [asked] * len(channels)
            found = metrics_of(ready["http"])
            assert sum(one.value for one in found["nv_inference_request_success"]) == asked
            calls = [
                one.value
                for one in found["grpc_server_handled_total"]
                if one.labels["grpc_method"] == "ModelInfer"
            ]
            assert sum(calls) == 2 * len(channels)
            assert len(found["splitpoint_replica_resident_bytes"]) == 1
            privates = [
                Path(one.laddr) for one in everybody[0].net_connections("unix") if one.laddr
            ]
            (private,) = {one.parent for one in privates if one.name == "front"}
            assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_edges_at_both_processes_split_a_model_as_at_one(folder: Path) -> None:
    bundle = make_version(folder / "net", 0)
    with serving_in(2, folder) as (process, ready), ExitStack() as stack:
        everybody = family(process)
        edges: list[EdgeClient] = []
        while not all(holders(ready["address"], everybody)):
            assert len(edges) < 30
            edges.append(stack.enter_context(EdgeClient(ready["address"], bundle, CUT)))
        for seed, edge in enumerate(edges):
            feeds = random_feeds(bundle.inputs, np.random.default_rng(seed))
            result = edge.infer(feeds)
            assert result.served_by == "cloud", result.reason
            (value,) = result.outputs.values()
            np.testing.assert_allclose(value, expected(bundle, seed), rtol=1e-4, atol=1e-4)


def test_versions_come_and_go_in_both_processes_at_once(folder: Path) -> None:
    bundle = make_version(folder / "first", 0)
    with (
        serving_in(2, folder) as (process, ready),
        reaching_all(ready["address"], family(process)) as channels,
    ):
        request = request_of(bundle, 1)
        before = [answered(channel, request) for channel in channels]
        for channel in channels:
            order = oip.RepositoryModelUnloadRequest(model_name="net")
            oip_stub(channel).RepositoryModelUnload(order, timeout=TIMEOUT_S)
            for other in channels:
                code, sentence = refused(lambda other=other: answered(other, request))
                assert code == "NOT_FOUND"
                assert "unloaded" in sentence
            order = oip.RepositoryModelLoadRequest(model_name="net")
            oip_stub(channel).RepositoryModelLoad(order, timeout=TIMEOUT_S)
            for other, found in zip(channels, before, strict=True):
                np.testing.assert_array_equal(answered(other, request), found)
        make_version(folder / "second", 1)
        oip_stub(channels[0]).RepositoryModelLoad(
            oip.RepositoryModelLoadRequest(model_name="net"), timeout=TIMEOUT_S
        )
        for channel, found in zip(channels, before, strict=True):
            np.testing.assert_allclose(
                answered(channel, request), found + SHIFT, rtol=1e-4, atol=1e-3
            )


def test_replica_that_is_killed_comes_back_and_takes_nothing_along(folder: Path) -> None:
    bundle = make_version(folder / "net", 0)
    with serving_in(2, folder) as (process, ready):
        front, replica = family(process)
        request = request_of(bundle, 1)
        with reaching_all(ready["address"], [front, replica]) as channels:
            for channel in channels:
                answered(channel, request)
            asked = successes(channels[0])
            replica.kill()
            wait_for_line(process.stderr, "where memory runs short). It is started again")
            # A connection to the one that is gone is found broken, and made anew to another.
            for channel in channels:
                until(lambda channel=channel: is_answered(channel, request))
            assert is_ready(channels[0])
            wait_for_line(process.stderr, "replica 1 serves again")
            assert successes(channels[0]) == asked + len(channels)
        (_, another) = family(process)
        assert another.pid != replica.pid
        with reaching_all(ready["address"], [front, another]) as channels:
            for channel in channels:
                np.testing.assert_allclose(
                    answered(channel, request), expected(bundle, 1), rtol=1e-4, atol=1e-4
                )


def is_answered(channel: grpc.Channel, request: oip.ModelInferRequest) -> bool:
    """Ask once; False where the connection is found broken."""
    try:
        oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S, wait_for_ready=True)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


def test_replica_that_hangs_is_ended_and_started_again(folder: Path) -> None:
    make_version(folder / "net", 0)
    with serving_in(2, folder) as (process, ready), connected(ready["address"]) as channel:
        _, replica = family(process)
        assert is_ready(channel)
        replica.suspend()  # a process that hangs is one that does not answer
        wait_for_line(process.stderr, "does not answer")
        wait_for_line(process.stderr, "replica 1 serves again")
        assert not replica.is_running()
        until(lambda: is_ready_elsewhere(ready["address"]))


def is_ready_elsewhere(address: str) -> bool:
    """Ask on a connection of its own, which a process that hangs leaves unanswered."""
    with connected(address) as channel:
        try:
            stub = oip_stub(channel)
            return bool(stub.ServerReady(oip.ServerReadyRequest(), timeout=1.0).ready)
        except grpc.RpcError:
            return False


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 1), (signal.SIGKILL, 1)],
    ids=["SIGTERM", "SIGTERM-twice", "SIGINT", "SIGKILL"],
)
def test_no_process_and_no_socket_is_left(folder: Path, number: signal.Signals, times: int) -> None:
    bundle = make_version(folder / "net", 0)
    notice = "10min" if times > 1 else "0s"
    with serving_in(3, folder, "--drain-notice", notice) as (process, ready):
        everybody = family(process)
        assert len(everybody) == 3
        unix = [one.laddr for one in everybody[0].net_connections("unix") if one.laddr]
        private = Path(next(one for one in unix if one.endswith("/front"))).parent
        with reaching_all(ready["address"], everybody) as channels:
            for channel in channels:
                answered(channel, request_of(bundle, 1))
        process.send_signal(number)
        if times > 1:
            wait_for_line(process.stderr, "not ready from now on")
            process.send_signal(number)
        at_once = times > 1 or number == signal.SIGKILL
        assert process.wait(TIMEOUT_S) == (-number if at_once else 0)
        _, alive = psutil.wait_procs(everybody[1:], TIMEOUT_S)
        assert alive == []
        until(lambda: not private.exists())


def test_requests_in_flight_in_both_processes_finish_when_the_server_is_told_to_stop(
    folder: Path,
) -> None:
    bundle = make_version(folder / "net", 0)
    with (
        serving_in(2, folder, "--drain-notice", "3s") as (process, ready),
        reaching_all(ready["address"], family(process)) as channels,
    ):
        request = request_of(bundle, 1)
        calls = [oip_stub(one).ModelInfer.future(request, timeout=TIMEOUT_S) for one in channels]
        process.send_signal(signal.SIGTERM)
        for call in calls:
            assert outputs_of(call.result())
        assert process.wait(TIMEOUT_S) == 0


def test_both_processes_know_devices_and_refuse_those_that_are_revoked(folder: Path) -> None:
    (folder / "bundles").mkdir()
    bundle = make_version(folder / "bundles" / "net", 0)
    file = folder / "devices.json"
    token = enrol(file, "camera", "infer", "fetch")
    stranger = enrol(file, "lamp", "infer", "fetch", models=("other",))
    narrow = enrol(file, "scale", "infer", limits=Limits(requests_per_s=1e-4))
    with (
        serving_in(2, folder / "bundles", "--devices", str(file)) as (process, ready),
        reaching_all(ready["address"], family(process)) as channels,
    ):
        request = request_of(bundle, 1)
        for channel in channels:
            seen = showing(channel, token)
            assert outputs_of(oip_stub(seen).ModelInfer(request, timeout=TIMEOUT_S))
            # Whose bundles these are is the front's to say, of the caller that a replica has let in.
            asked = sp.ListBundlesRequest()
            names = splitpoint_stub(seen).ListBundles(asked, timeout=TIMEOUT_S).bundles
            assert [one.name for one in names] == ["net"]
            other = splitpoint_stub(showing(channel, stranger))
            assert not other.ListBundles(asked, timeout=TIMEOUT_S).bundles
            forged = (
                ("authorization", f"Bearer {stranger.text}"),
                ("splitpoint-caller-bin", b"camera"),
            )
            plain = splitpoint_stub(channel)
            assert not plain.ListBundles(asked, timeout=TIMEOUT_S, metadata=forged).bundles
            code, _ = refused(lambda channel=channel: answered(channel, request))
            assert code == "UNAUTHENTICATED"
        let_in = [not is_over_quota(showing(channel, narrow), request) for channel in channels]
        assert sum(let_in) == 1
        with changing(file) as devices:
            devices.put(revoked(devices.find("camera"), NOW))
        for channel in channels:
            seen = showing(channel, token)
            until(lambda seen=seen: is_refused(seen, request))


def is_over_quota(channel: grpc.Channel, request: oip.ModelInferRequest) -> bool:
    try:
        oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return True
    return False


def is_refused(channel: grpc.Channel, request: oip.ModelInferRequest) -> bool:
    try:
        oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False


def test_both_processes_speak_tls_and_nothing_else(folder: Path) -> None:
    (folder / "bundles").mkdir()
    bundle = make_version(folder / "bundles" / "net", 0)
    authority = Authority(folder / "ca")
    files = authority.issue()
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
    credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())

    def secured(address: str) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(address, credentials, options)

    with (
        serving_in(2, folder / "bundles", *flags) as (process, ready),
        reaching_all(ready["address"], family(process), secured) as channels,
    ):
        for channel in channels:
            assert is_ready(channel)
            assert answered(channel, request_of(bundle, 1)).size
