"""Event loops on threads of their own: what they report, and that both programs use them."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloud_server.server import CloudServer
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import LoopThread, repeat
from protos.errors import UsageError
from tests.kit.frames import frames
from tests.kit.waiting import eventually


async def complain(error: Exception, **context: str) -> None:
    found = {"message": "oh", "exception": error, **context}
    asyncio.get_running_loop().call_exception_handler(found)


def test_empty_wake_up_socket_of_grpc_is_not_reported_and_all_else_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread = LoopThread("test")
    thread.run(complain(BlockingIOError(11, "Resource temporarily unavailable")))
    for_another = "<Handle PollerCompletionQueue._handle_events(<_UnixSelectorEventLoop>)()>"
    thread.run(complain(RuntimeError("Event loop is closed"), handle=for_another))
    assert caplog.records == []
    thread.run(complain(ValueError("a bug"), handle=for_another))
    assert [record.message.splitlines()[0] for record in caplog.records] == ["oh"]
    thread.close()
    thread.close()


def test_interrupt_between_two_frames_ends_the_stream_though_the_source_blocks(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    submit = asyncio.run_coroutine_threadsafe

    def interrupted(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        monkeypatch.undo()
        submit(coroutine, loop)
        raise KeyboardInterrupt

    def source() -> Iterator[Any]:
        yield from frames(residual_bundle, 1)
        released.wait()

    with EdgeClient(None, residual_bundle, "edge") as client:
        results = client.stream(source())
        next(results)
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(results)
        released.set()


def test_server_and_client_in_one_process_share_grpc_without_complaints(
    residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        CloudServer(bundles=residual_bundle.path, listen="127.0.0.1:0") as server,
        EdgeClient(server.address, residual_bundle, "cut-03") as client,
    ):
        for program in (server._thread, client._loop):
            assert isinstance(program, LoopThread)
            program.run(complain(BlockingIOError(11, "Resource temporarily unavailable")))
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_what_fails_beside_the_frames_is_logged_and_what_is_cancelled_is_not(
    residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    with EdgeClient(None, residual_bundle, "edge") as client:
        forever = client.accompany(asyncio.sleep(3600))
        failed = client.accompany(fail())
        with pytest.raises(ValueError, match="a bug"):
            failed.result()
        forever.cancel()
        client.run(asyncio.sleep(0))  # by now both have been looked at
    assert [record.getMessage() for record in caplog.records] == [
        "what went on beside the frames has failed: a bug"
    ]


async def test_what_is_repeated_goes_on_after_a_bug_and_ends_when_nobody_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = BrokenPipeError(32, "Broken pipe")
    outcomes = iter([None, ValueError("a bug"), None, broken, broken])

    async def step() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    with pytest.raises(BrokenPipeError):
        await repeat(step, 0.0, "stepping", ends_with=BrokenPipeError)
    going_on = asyncio.create_task(repeat(step, 0.0, "watching"))  # for which it is a bug as any
    await eventually(lambda: len(caplog.records) >= 2)
    assert not going_on.done()
    going_on.cancel()
    assert next(outcomes, "all were called") == "all were called"
    assert [record.getMessage() for record in caplog.records[:2]] == [
        "stepping has failed, and goes on",
        "watching has failed, and goes on",
    ]


def test_who_waits_for_a_loop_that_is_closed_is_told() -> None:
    thread, waiting, told = LoopThread("test"), threading.Event(), list[Exception]()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def run() -> None:
        try:
            thread.run(wait())
        except UsageError as error:
            told.append(error)

    other = threading.Thread(target=run)
    other.start()
    waiting.wait()
    thread.close()
    other.join()
    with pytest.raises(UsageError, match="was closed"):
        thread.run(wait())
    assert len(told) == 1
