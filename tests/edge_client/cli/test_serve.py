"""The command serve: it serves until it is told to stop, and sums up."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from edge_client.cli.reports import result_json as records
from edge_client.cli.reports.result_json import RecordWriter
from edge_client.cli.serve_loop import Book, connected
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.local_server import LocalServer
from edge_client.telemetry.observer import Observer
from partitioner.bundle.bundle import Bundle
from protos.errors import FileError
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.cloud_calls import TIMEOUT_S
from tests.kit.edge_commands import running
from tests.kit.frames import frames
from tests.kit.local_calls import CUT, agrees, request_of
from tests.kit.settings import local_serve_settings


def test_command_serves_until_sigterm_and_sums_up(residual_bundle: Bundle, tmp_path: Path) -> None:
    (inputs,) = frames(residual_bundle, 1)
    code = "from edge_client.cli.main import main; main()"
    flags = ("--bundle", str(residual_bundle.path), "--cut", "edge", "--listen", "127.0.0.1:0")
    beat, output = tmp_path / "beat", tmp_path / "out.jsonl"
    more = ("--heartbeat", str(beat), "--output", str(output), "--slow", "2", "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", *flags, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            ready = json.loads(process.stdout.readline())
            assert (ready["event"], ready["model"], ready["cut"]) == ("ready", "residual", "edge")
            with grpc.insecure_channel(ready["address"]) as channel:
                request = request_of(residual_bundle, inputs, "seven")
                answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
            agrees(answer, residual_bundle, inputs)
            assert beat.exists()
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=TIMEOUT_S)[0]
        finally:
            process.kill()
    assert process.returncode == 0
    record, last = [json.loads(line) for line in rest.splitlines()]
    assert (record["source"], record["served_by"]) == ("seven", "edge")
    assert last["summary"]["frames"] == 1
    assert last["summary"]["slow"] == 2
    assert [json.loads(line) for line in output.read_text().splitlines()] == [record, last]


@pytest.mark.slow
def test_command_serves_by_tls(residual_bundle: Bundle, tmp_path: Path) -> None:
    (inputs,) = frames(residual_bundle, 1)
    authority = Authority(tmp_path / "ours")
    files = authority.issue()
    flags = ("--bundle", residual_bundle.path, "--cut", "edge", "--listen", "0.0.0.0:0", "--json")
    tls = ("--listen-tls-cert", files.cert, "--listen-tls-key", files.key)
    trusting = ChannelSecurity(files=TlsFiles(authorities=authority.path))
    with running("serve", *flags, *tls) as process:
        port = json.loads(process.stdout.readline())["address"].rpartition(":")[2]
        with Endpoint(f"127.0.0.1:{port}", trusting).open() as channel:
            request = request_of(residual_bundle, inputs)
            answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
        agrees(answer, residual_bundle, inputs)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=TIMEOUT_S)[1]
    assert (
        f"INSECURE: 0.0.0.0:{port} is open to other machines, and whoever reaches it may use it"
        in said
    )


async def test_who_is_told_to_stop_while_connecting_stops(residual_bundle: Bundle) -> None:
    stop = asyncio.Event()
    stop.set()
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        cloud = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = local_serve_settings(bundle=residual_bundle.path, cloud=cloud, cut=CUT)
        async with AsyncExitStack() as stack:
            assert await connected(settings, residual_bundle, stack, stop) is None


async def test_full_disk_ends_the_server_and_not_the_callers_request(
    residual_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    stop = asyncio.Event()
    with RecordWriter(Path("/dev/full"), to_stdout=True) as writer:
        async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
            book = Book(client, Observer(client, "edge"), writer, stop)
            async with (
                LocalServer(client, on_result=book.note) as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                request = request_of(residual_bundle, inputs)
                call = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
                agrees(await call, residual_bundle, inputs)
            assert stop.is_set()
            with pytest.raises(FileError, match="--output /dev/full takes no more"):
                book.close(as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["frames"] == 1


async def test_stdout_that_nobody_reads_ends_the_server_and_not_the_callers_request(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_arguments: object, **_options: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    (inputs,) = frames(residual_bundle, 1)
    stop = asyncio.Event()
    with RecordWriter(None, to_stdout=True) as writer:
        async with AsyncEdgeClient(None, residual_bundle, "edge") as client:
            book = Book(client, Observer(client, "edge"), writer, stop)
            monkeypatch.setattr(records.console, "print_json", gone)
            async with (
                LocalServer(client, on_result=book.note) as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                request = request_of(residual_bundle, inputs)
                call = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=TIMEOUT_S)
                agrees(await call, residual_bundle, inputs)
            assert stop.is_set()
            with pytest.raises(BrokenPipeError):
                book.close(as_json=True)
