"""Is a request lost, or answered by another version, while versions come and go, and does memory stay flat?

Three versions of one bundle, whose logits differ by 100 each, come into a server's watched folder, are
replaced and go, one change every few seconds; some copies are damaged. Callers hold one version each, or
none, and ask without a pause at several cuts. An answer has to be by the version that its caller holds, by
its numbers. Version 0 stays: who holds it, or none, is never refused; others may be.
"""

import argparse
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from benchmarks import reporting
from benchmarks.chaos import Server
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.folder import new_folder
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.tensors import Array
from tests.kit.cloud_calls import crossing, outputs_of, request_for
from tests.kit.versions import make_version

FLAT = 0.03
_VERSIONS = 3
_CUTS = ("cloud", "cut-02", "cut-05")
_REFUSED = (grpc.StatusCode.FAILED_PRECONDITION,)
_TIMEOUT_S = 30.0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Churn for `minutes`, a change every `every_s`; memory counts from `warm_up` minutes on."""
    with tempfile.TemporaryDirectory() as folder:
        made = [make_version(Path(folder) / "made" / str(n), n) for n in range(_VERSIONS)]
        root = Path(folder) / "bundles"
        shutil.copytree(made[0].path, root / "v0")
        server = Server(root)
        server.start()
        try:
            return _Churn(made, root, server, arguments).run()
        finally:
            server.kill()


class _Churn:
    def __init__(
        self, made: list[Bundle], root: Path, server: Server, arguments: argparse.Namespace
    ) -> None:
        self._made, self._root, self._server = made, root, server
        self._every_s, self._warm_up_s = arguments.every_s, 60 * arguments.warm_up
        self._ends_at = time.monotonic() + 60 * arguments.minutes
        self._rss: list[tuple[float, int]] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._wanted = [_whole(bundle) for bundle in made]

    def run(self) -> dict[str, Any]:
        held = [0, 0, 1, 2, None]
        callers = [threading.Thread(target=self._call, args=(number,)) for number in held]
        watcher = threading.Thread(target=self._sample)
        for thread in (*callers, watcher):
            thread.start()
        self._change()
        for thread in (*callers, watcher):
            thread.join()
        return self._found()

    def _change(self) -> None:
        rng = random.Random(0)
        while time.monotonic() < self._ends_at:
            time.sleep(self._every_s)
            target = self._root / rng.choice(("a", "b"))
            if target.exists() and rng.random() < 0.4:
                shutil.rmtree(target)
                self._count("removed")
                continue
            damaged = rng.random() < 0.2
            with new_folder(target, replace=True) as partial:
                chosen = self._made[rng.randrange(1, _VERSIONS)]
                shutil.copytree(chosen.path, partial, dirs_exist_ok=True)
                if damaged:
                    (partial / "graphs" / "weights.bin").write_bytes(b"half")
            self._count("damaged" if damaged else "put")

    def _call(self, number: int | None) -> None:
        held = self._made[number or 0]
        requests = [request_for(held, cut, crossing(held, cut)) for cut in _CUTS]
        if number is None:
            requests = requests[:1]
            del requests[0].parameters["bundle_digest"]
        with grpc.insecure_channel(self._server.address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            while time.monotonic() < self._ends_at:
                for request in requests:
                    self._count(self._outcome(stub, request, number))

    def _outcome(self, stub: Any, request: Any, number: int | None) -> str:
        try:
            answer = stub.ModelInfer(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            allowed = code in _REFUSED and number not in (0, None)
            return "refused, as it was not there" if allowed else f"lost: {code.name}"
        (found,) = outputs_of(answer).values()
        by = [
            n
            for n, wanted in enumerate(self._wanted)
            if np.allclose(found, wanted, rtol=1e-3, atol=1e-2)
        ]
        return "answered" if by and number in (None, by[0]) else "answered by another version"

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _sample(self) -> None:
        process, begun = psutil.Process(self._server.pid), time.monotonic()
        while (now := time.monotonic()) < self._ends_at:
            if now - begun >= self._warm_up_s:
                self._rss.append((now - begun, process.memory_info().rss))
            time.sleep(0.5)

    def _found(self) -> dict[str, Any]:
        windows: dict[int, list[int]] = {}
        for at_s, rss_bytes in self._rss:
            windows.setdefault(int(at_s // 60), []).append(rss_bytes)
        medians = [float(np.median(found)) for found in windows.values()]
        spread = (max(medians) - min(medians)) / medians[0] if medians else 0.0
        wrong = sum(n for what, n in self.counts.items() if "lost" in what or "another" in what)
        return {
            "counts": dict(self.counts),
            "rss_medians_of_a_minute_mib": [round(each / 2**20, 1) for each in medians],
            "rss_spread": round(spread, 4),
            "wrong_or_lost": wrong,
            "holds": wrong == 0 and spread <= FLAT and self.counts["answered"] > 0,
        }


def _whole(bundle: Bundle) -> Array:
    (found,) = bundle.open_tail("cloud").run(crossing(bundle, "cloud")).values()
    return found


if __name__ == "__main__":
    reporting.main(__doc__, measure, minutes=10.0, warm_up=1.0, every_s=3.0)
