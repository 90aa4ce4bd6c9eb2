"""Tails on a Ray cluster of two nodes: replicas come, are renewed and die, and no answer is wrong or missing.

`make ray` installs Ray and runs this; it is no part of `make test`.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos.inference_pb2 import ModelInferRequest
from protos.splitpoint_pb2 import ProbeRequest
from protos.splitpoint_pb2_grpc import SplitpointStub
from protos.tensors import Array
from tests.kit.cloud_calls import connected, crossing, oip_stub, outputs_of, request_for, uncut
from tests.kit.frames import crossing_cuts
from tests.kit.server_process import COMMAND
from tests.kit.sockets import free_port
from tests.kit.versions import make_version

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray: make ray")

PATIENCE_S = 90
DIED = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
"""What a proxy says of requests that were with a replica when it died: they may be asked again."""
ON_BOTH_NODES = ("--min-replicas", "3", "--max-replicas", "3")
"""One more than there is room for on the node that stays."""
BEYOND_RAY = 5 << 20
"""Bytes that proxies and replicas do not hand on by themselves."""
ELASTIC = ("--max-replicas", "2", "--target-requests", "1", "--upscale-delay", "1s")


class Nodes:
    """Two nodes with room for two replicas each, tails on them, and the folder of bundles."""

    def __init__(self, process: "subprocess.Popen[str]", bundles: Path) -> None:
        self.process, self.bundles = process, bundles
        self.head = json.loads(self.said())["address"]
        self.port, self.http = free_port(), free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def said(self) -> str:
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        return line or pytest.fail("the nodes have ended")

    def deploy(self, *more: str, head: str = "") -> "subprocess.CompletedProcess[str]":
        words = [
            "--ray",
            head or self.head,
            "--port",
            str(self.port),
            "--http",
            f"127.0.0.1:{self.http}",
        ]
        command = [*COMMAND, "cluster", "--bundles", str(self.bundles), "--insecure", "--json"]
        return subprocess.run(
            [*command, *words, *more], capture_output=True, text=True, check=False, timeout=300
        )

    def kill(self) -> None:
        """Cut the power of the second node."""
        self.process.stdin.write("kill\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        assert json.loads(self.said()) == {"event": "killed"}

    def replicas(self) -> set[int]:
        """The processes of all replicas."""
        found = set()
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "ServeReplica" in " ".join(process.cmdline()):
                    found.add(process.pid)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    bundles = tmp_path_factory.mktemp("bundles")
    make_version(bundles / "one", 1)
    command = [sys.executable, "-m", "tests.kit.ray_nodes", "2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Nodes(process, bundles)
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait()


class Frames:
    """Frames of one version: the request of each, and what the whole model makes of it."""

    def __init__(self, bundle: Bundle) -> None:
        cut = crossing_cuts(bundle)[0]
        self.requests = [request_for(bundle, cut, crossing(bundle, cut, seed)) for seed in range(8)]
        self.expected = [uncut(bundle, seed) for seed in range(8)]
        self.bundle, self.cut = bundle, cut
        self.inputs = [random_feeds(bundle.inputs, np.random.default_rng(s)) for s in range(8)]

    def is_right(self, at: int, answer: Any) -> bool:
        return self.are_right(at, outputs_of(answer))

    def are_right(self, at: int, found: Mapping[str, Array]) -> bool:
        wanted = self.expected[at]
        return all(np.allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4) for name in wanted)


class Tally:
    """What became of frames."""

    def __init__(self) -> None:
        self.right = self.wrong = self.asked_again = 0
        self.lost: list[str] = []


def ask(stub: Any, request: ModelInferRequest, tally: Tally) -> Any:
    """Ask as clients of OIP do that expect a server to die: the same once more."""
    for left in (1, 0):
        try:
            return stub.ModelInfer(request, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            if not left or error.code() not in DIED:
                tally.lost.append(f"{error.code()}: {error.details()}")
                return None
            tally.asked_again += 1
    return None


@contextmanager
def load(address: str, frames: Frames, callers: int) -> Iterator[Tally]:
    """So many callers within the block, each with one frame after another."""
    tally, ended, lock = Tally(), threading.Event(), threading.Lock()

    def call() -> None:
        with connected(address) as channel:
            stub, at = oip_stub(channel), 0
            while not ended.is_set():
                answer = ask(stub, frames.requests[at], tally)
                with lock:
                    if answer is not None:
                        tally.right += frames.is_right(at, answer)
                        tally.wrong += not frames.is_right(at, answer)
                at = (at + 1) % len(frames.requests)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@contextmanager
def edge(address: str, frames: Frames) -> Iterator[Tally]:
    """An edge within the block, with one frame after another; `asked_again`: what it finished itself."""
    tally, ended = Tally(), threading.Event()

    def run() -> None:
        with EdgeClient(address, frames.bundle, cut=frames.cut, codec="raw") as client:
            at = 0
            while not ended.is_set():
                result = client.infer(frames.inputs[at])
                if result.error is not None:
                    tally.lost.append(str(result.error))
                elif frames.are_right(at, result.outputs):
                    tally.right += result.served_by is ServedBy.CLOUD
                    tally.asked_again += result.served_by is not ServedBy.CLOUD
                else:
                    tally.wrong += 1
                at = (at + 1) % len(frames.inputs)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield tally
    finally:
        ended.set()
        thread.join()


def wait(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.1)


def nothing_lost(tally: Tally) -> None:
    assert (tally.lost, tally.wrong) == ([], 0)
    assert tally.right


@pytest.fixture(scope="module")
def frames(nodes: Nodes) -> Frames:
    return Frames(Bundle.load(nodes.bundles / "one"))


@pytest.fixture(scope="module")
def deployed(nodes: Nodes) -> Nodes:
    done = nodes.deploy()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"event": "ready", "addresses": [nodes.address]}
    return nodes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--workers", "64", "--ready", "5s"],
            "no replica is ready after 5.00 s: each of 1 takes CPUs: 64",
        ),
        (["--preload", "nothing"], "no replica starts: .*no model 'nothing'"),
    ],
)
def test_tails_that_cannot_be_deployed_are_told_of_and_why(
    nodes: Nodes, words: Sequence[str], sentence: str
) -> None:
    done = nodes.deploy(*words)
    assert done.returncode != 0
    assert re.search(sentence, " ".join(done.stderr.split())), done.stderr


def test_cluster_that_is_away_is_told_of(nodes: Nodes) -> None:
    done = nodes.deploy(head=f"127.0.0.1:{free_port()}")
    assert done.returncode != 0
    assert "no Ray cluster answers at '127.0.0.1:" in done.stderr


def probe(address: str, size: int) -> None:
    """Send a probe of so many bytes."""
    with connected(address) as channel:
        SplitpointStub(channel).Probe(ProbeRequest(payload=bytes(size)), timeout=PATIENCE_S)


def test_cluster_of_this_machine_hands_on_what_max_message_allows(nodes: Nodes) -> None:
    words = [
        "--ray",
        "local",
        "--port",
        str(free_port()),
        "--http",
        f"127.0.0.1:{free_port()}",
        "--json",
    ]
    command = [*COMMAND, "cluster", "--bundles", str(nodes.bundles), "--insecure", *words]
    with subprocess.Popen(
        [*command, "--max-message", "6MiB"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            (address,) = json.loads(process.stdout.readline())["addresses"]  # type: ignore[union-attr]
            probe(address, BEYOND_RAY)
        finally:
            process.send_signal(signal.SIGINT)


def test_cluster_that_does_not_hand_on_what_max_message_allows_is_told_of(deployed: Nodes) -> None:
    with pytest.raises(grpc.RpcError, match="message larger than max"):
        probe(deployed.address, BEYOND_RAY)
    said = " ".join(deployed.deploy().stderr.split())
    assert "do not hand on requests of 67,108,864 B" in said
    assert "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH=68157440" in said


def test_options_are_renewed_and_no_frame_is_lost(deployed: Nodes, frames: Frames) -> None:
    before = deployed.replicas()
    with load(deployed.address, frames, callers=4) as tally:
        assert deployed.deploy("--queue-wait", "1s").returncode == 0
        wait(lambda: not before & deployed.replicas(), "the replicas of before to go")
    nothing_lost(tally)


def test_more_requests_bring_more_replicas(deployed: Nodes, frames: Frames) -> None:
    assert deployed.deploy(*ELASTIC).returncode == 0
    with load(deployed.address, frames, callers=12) as tally:
        wait(lambda: len(deployed.replicas()) == 2, "a second replica")
    nothing_lost(tally)


def test_new_version_is_served_without_a_restart(deployed: Nodes, frames: Frames) -> None:
    before = deployed.replicas()
    new = Frames(make_version(deployed.bundles / ".two", 2))
    with load(deployed.address, frames, callers=2) as tally, connected(deployed.address) as channel:
        stub, in_a_row = oip_stub(channel), 0

        def is_everywhere() -> bool:
            nonlocal in_a_row
            try:
                answer = stub.ModelInfer(new.requests[0], timeout=PATIENCE_S)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                in_a_row = 0
                return False
            assert new.is_right(0, answer)
            in_a_row += 1
            return in_a_row > 20

        assert not is_everywhere()
        (deployed.bundles / ".two").rename(deployed.bundles / "two")
        wait(is_everywhere, "the new version")
    nothing_lost(tally)
    assert tally.asked_again == 0
    assert deployed.replicas() == before


def test_node_dies_under_load_and_no_frame_is_lost(deployed: Nodes, frames: Frames) -> None:
    assert deployed.deploy(*ON_BOTH_NODES).returncode == 0
    wait(lambda: len(deployed.replicas()) == 3, "replicas on both nodes")
    before = deployed.replicas()
    with (
        load(deployed.address, frames, callers=8) as tally,
        edge(deployed.address, frames) as by_edge,
    ):
        wait(lambda: tally.right > 200 and by_edge.right > 20, "frames by all of them")
        deployed.kill()
        wait(lambda: before - deployed.replicas(), "replicas to be gone with their node")
        after = tally.right
        wait(lambda: tally.right > after + 200, "frames by the node that is left")
        served = by_edge.right
        wait(lambda: by_edge.right > served + 20, "the edge to be served again")
    nothing_lost(tally)
    nothing_lost(by_edge)
