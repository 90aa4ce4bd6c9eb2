"""Event loops: one on a thread of its own, for those who have none, and the end of one by a signal."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from protos.errors import SplitpointError, UsageError

T = TypeVar("T")

_log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class LoopThread:
    """Runs coroutines from any thread. The thread is a daemon; `close` ends it."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_report)
        self._waited_for: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` there and wait for what it returns or raises.

        An interrupt of the waiting (Ctrl-C) cancels the coroutine. Raises UsageError when this is closed,
        or gets closed before the coroutine is done.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:
            coroutine.close()
            raise _closed() from error
        self._waited_for.add(future)
        try:
            if self.loop.is_closed():
                future.cancel()
            return future.result()
        except CancelledError:
            coroutine.close()
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waited_for.discard(future)

    def close(self) -> None:
        """Cancel what still runs there and end the thread. Does nothing twice."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            for future in tuple(self._waited_for):  # what came too late to be cancelled there
                future.cancel()


def _closed() -> UsageError:
    return UsageError(
        "the event loop was closed before this was done. Make a new client or server."
    )


async def repeat(
    step: Callable[[], Awaitable[object]],
    every_s: float,
    what: str,
    *,
    ends_with: type[Exception] | tuple[()] = (),
) -> None:
    """Call `step` every so often until cancelled.

    A bug in one of them is logged as a failure of `what`, and ends no later ones; `ends_with` is raised.
    """
    while True:
        await asyncio.sleep(every_s)
        try:
            await step()
        except ends_with:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the next one may do better
            _log.exception("%s has failed, and goes on", what)


def stop_event() -> asyncio.Event:
    """Return what SIGTERM or SIGINT sets, once; a second signal has the system's meaning again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    return stop


@contextlib.contextmanager
def on_hangup(step: Callable[[], Awaitable[object]], what: str) -> Iterator[None]:
    """Call `step` at each SIGHUP within the block, where the system has it; a failure of `what` is logged."""
    loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    async def call() -> None:
        try:
            await step()
        except SplitpointError as error:
            _log.error("%s has failed: %s", what, error)
        except Exception:  # noqa: BLE001 - whatever it is, the next one may do better
            _log.exception("%s has failed", what)

    def on_signal() -> None:
        task = loop.create_task(call())
        running.add(task)
        task.add_done_callback(running.discard)

    if not hasattr(signal, "SIGHUP"):
        yield
        return
    loop.add_signal_handler(signal.SIGHUP, on_signal)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The loops of one process share gRPC's wake-up socket and its queue: who comes second finds the socket
    # empty, or in the queue what a loop waited for that is closed by now. Harmless.
    error = context.get("exception")
    late = isinstance(error, RuntimeError) and "PollerCompletionQueue" in repr(
        context.get("handle")
    )
    if not late and not isinstance(error, BlockingIOError):
        loop.default_exception_handler(context)
