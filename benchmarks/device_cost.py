"""What does it cost a request that the server asks who calls, and whether it may?

Servers side by side, each in a process of its own: open to all; devices known by tokens; with limits on top;
and with models named, so that each request is looked into on the event loop. The model computes next to
nothing. Requests go one at a time, by calls and by one stream, a turn for each server; beside that, what
the gate itself takes, called directly.
"""

import argparse
import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks import reporting
from benchmarks.architectures import pass_through
from benchmarks.serving import alternate, make_bundle, served
from cloud_server.security.credentials import Credentials, bearer_token
from cloud_server.security.device_file import changing
from cloud_server.security.gate import Gate
from cloud_server.security.registered_device import Limits
from cloud_server.security.registration import register
from cloud_server.security.rules import RPC_RULES
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos.codecs.registry import RAW
from protos.names import CLOUD
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.wire.framing import decode_stream_response, encode_request
from protos.wire.messages import pack_request
from tests.kit.devices import NOW

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
BUNDLE_BYTES = 4_000
AMPLE = Limits(streams=100, requests_per_s=1e6, bytes_per_s=1e12)
"""Limits that are looked at for every request, and never reached."""
DEVICES = {"token": (("*",), Limits()), "limits": (("*",), AMPLE), "models": (("pass*",), AMPLE)}

Metadata = tuple[tuple[str, str], ...]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time requests to each server, turn by turn, and the gate alone."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        bundle = make_bundle(pass_through(BUNDLE_BYTES // 4), folder, "pass_through")
        metadata = {way: _enrol(folder / "devices.json", way) for way in DEVICES}
        ways: dict[str, Callable[[], float]] = {}
        for way in ("off", *DEVICES):
            flags = () if way == "off" else ("--devices", str(folder / "devices.json"))
            address = stack.enter_context(served(folder, *flags))
            asked = stack.enter_context(_asked(address, bundle, metadata.get(way, ())))
            ways |= {f"{way}_{kind}": ask for kind, ask in asked.items()}
        alternate(ways, 50)
        p50 = {
            name: float(np.median(seconds))
            for name, seconds in alternate(ways, arguments.rounds).items()
        }
        gate = _gate_alone(folder / "devices.json", metadata["limits"], arguments.checks)
    kinds = {
        kind: {
            way: {
                "p50_us": 1e6 * p50[f"{way}_{kind}"],
                "to_off": p50[f"{way}_{kind}"] / p50[f"off_{kind}"],
            }
            for way in ("off", *DEVICES)
        }
        for kind in ("call", "stream")
    }
    return {**kinds, "gate_alone_us": gate}


def _enrol(path: Path, name: str) -> Metadata:
    models, limits = DEVICES[name]
    device, token = register(name, ["infer"], models, limits, False, NOW, None)
    with changing(path) as file:
        file.put(device)
    return (("authorization", f"Bearer {token.text if token else ''}"),)


@contextmanager
def _asked(
    address: str, bundle: Bundle, metadata: Metadata
) -> Iterator[dict[str, Callable[[], float]]]:
    """Give what sends one request and returns the seconds until its answer, by a call and by a stream."""
    values = random_feeds(bundle.inputs, np.random.default_rng(0))
    header, tensors = pack_request(
        bundle.name, "", values, bundle.cut(CLOUD).frontier, RAW, bundle.digest
    )
    message = encode_request(header, tensors)
    options = channel_options(DEFAULT_MAX_MESSAGE_BYTES)
    with grpc.insecure_channel(address, options) as channel, ExitStack() as stack:
        unary = channel.unary_unary(INFER)
        exchange = stack.enter_context(_stream(channel, message, metadata))

        def call() -> float:
            begun_at = time.perf_counter()
            unary(message, metadata=metadata)
            return time.perf_counter() - begun_at

        yield {"call": call, "stream": exchange}


@contextmanager
def _stream(
    channel: grpc.Channel, message: bytes, metadata: Metadata
) -> Iterator[Callable[[], float]]:
    requests: queue.Queue[bytes | None] = queue.Queue()
    answers = channel.stream_stream(STREAM)(iter(requests.get, None), metadata=metadata)

    def exchange() -> float:
        begun_at = time.perf_counter()
        requests.put(message)
        error = decode_stream_response(next(answers))[0]
        if error:
            raise OSError(f"the server refuses: {error}")
        return time.perf_counter() - begun_at

    yield exchange
    requests.put(None)


def _gate_alone(path: Path, metadata: Metadata, checks: int) -> dict[str, float]:
    """Return the microseconds that the parts of the gate take, called directly."""
    gate = Gate(path, Limits())
    rule = RPC_RULES[INFER]
    device = gate.admit(Credentials(bearer_token(metadata)), rule)
    parts: dict[str, Callable[[], object]] = {
        "who_calls": lambda: gate.admit(Credentials(bearer_token(metadata)), rule),
        "limits": lambda: gate.charge(device, 4_000),
        "model": lambda: device.may_use("pass_through"),
    }
    return {name: _each_us(part, checks) for name, part in parts.items()}


def _each_us(part: Callable[[], object], times: int) -> float:
    begun_at = time.perf_counter()
    for _ in range(times):
        part()
    return 1e6 * (time.perf_counter() - begun_at) / times


if __name__ == "__main__":
    reporting.main(__doc__.splitlines()[0], measure, rounds=2_000, checks=100_000)
