"""Does anything that others send or leave on the disk crash us, hang, leak, or get an unclear error?

Hypothesis damages messages, documents and files that were right (tests/kit/damage.py), and a share is any
bytes. Half of the inputs go to the readers of files and messages in this process, half to a server in a
process of its own, over every method of gRPC and the routes of REST; good requests in between have to be
answered as before.
"""

import argparse
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks import reporting
from benchmarks.children import Child
from benchmarks.fuzz_server import FuzzedServer, fuzzed_server
from benchmarks.serving import copied
from tests.kit.readers import DIGITS, Reader, is_refused, readers

_SLOW_S = 5.0
"""One input that takes longer hangs."""
_WARM = 0.2
"""Of the inputs of the server: after so many its memory is read first."""
_CHECK_EVERY = 200


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Send the inputs, and count what was refused, what was no clear answer, and the memory."""
    # What pillow thinks of a damaged image is no fault of ours.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    half = arguments.inputs // 2
    with tempfile.TemporaryDirectory() as folder:
        known = list(readers(Path(folder)))
        read = [_read(reader, half // len(known), arguments.seed) for reader in known]
        bundle = copied(DIGITS, Path(folder))
        with fuzzed_server(bundle.path) as server:
            served = _serve(server, half, arguments.seed)
    return {
        "readers": read,
        "reader_faults": [one for one in read if one["faults"]],
        "server": served,
    }


def _drive(inputs: Any, count: int, start: int, use: Callable[[bytes], None]) -> None:
    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(data: bytes) -> None:
        use(data)

    run()


def _read(reader: Reader, count: int, start: int) -> dict[str, Any]:
    found: Counter[str] = Counter()
    faults: dict[str, str] = {}

    def use(data: bytes) -> None:
        begun_s = time.perf_counter()
        try:
            found["refused" if is_refused(reader, data) else "read"] += 1
        except Exception as error:  # noqa: BLE001 - that there is one is what is looked for
            faults.setdefault(f"{type(error).__name__}: {error}"[:300], data[:200].hex())
        if time.perf_counter() - begun_s > _SLOW_S:
            faults.setdefault("hangs", data[:200].hex())

    _drive(reader.samples.inputs, count, start, use)
    return {"reader": reader.name, **found, "faults": faults}


def _serve(server: FuzzedServer, count: int, start: int) -> dict[str, Any]:
    targets = list(server.targets())
    wrong: list[str] = []
    sent: Counter[str] = Counter()
    marks: list[int] = []
    # In rounds, so that memory is read after all kinds of requests, and then after more of them.
    rounds: Sequence[int] = range(5)
    for number in rounds:
        for target in targets:

            def use(data: bytes, target: Any = target) -> None:
                begun_s = time.perf_counter()
                try:
                    target.send(data)
                except Exception as error:  # noqa: BLE001
                    wrong.append(f"{target.name}: {type(error).__name__}: {error}"[:300])
                if time.perf_counter() - begun_s > _SLOW_S:
                    wrong.append(f"{target.name} hangs on {data[:100].hex()}")
                sent[target.name] += 1
                if sum(sent.values()) % _CHECK_EVERY == 0 and not server.answers_rightly():
                    wrong.append(f"a wrong answer after {target.name}")

            _drive(target.inputs, count // len(targets) // len(rounds), start + number, use)
        marks.append(_resident(server.child))
    return {
        "inputs": sum(sent.values()),
        "statuses": dict(server.verdict.statuses),
        "faults": (server.verdict.faults + wrong)[:50],
        "fault_count": len(server.verdict.faults) + len(wrong),
        "rss_bytes_after_rounds": marks,
        "rss_growth": marks[-1] / marks[1],
    }


def _resident(child: Child) -> int:
    return child.resident_bytes()


if __name__ == "__main__":
    reporting.main(__doc__ or "", measure, inputs=100_000, seed=0)
