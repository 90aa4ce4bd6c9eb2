"""A replica as the front sees it: a child process, and calls on its private socket."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import grpc

from cloud_server.observability.book_sums import ToldBooks
from cloud_server.options import ServerOptions
from cloud_server.processes import private_calls
from cloud_server.processes.private_calls import OFFER, TOLD_BOOKS, Offer, private_channel
from cloud_server.processes.shares import Assignment
from partitioner.terminal.logs import logs_as_set_up
from protos.errors import FaultError

_START_S = 60.0
"""The longest from being started to listening at the private socket."""
_TELL_S = 10.0
"""A replica that does not tell its books within this time does nothing else, either."""
_END_S = 5.0
"""What ending may take beyond the time for draining."""


class ReplicaProcess:
    """One replica, from its start to its end. Its calls raise FaultError when it does not answer."""

    def __init__(
        self, options: ServerOptions, folder: Path, number: int, socket: str, use: int | None
    ) -> None:
        self.number = number
        self.is_open = False
        """Whether it takes connections, as far as is known."""
        self.is_in_step = True
        """Whether it offers what the front does, as far as is known."""
        told = Assignment(
            options=options,
            folder=folder,
            number=number,
            socket=socket,
            use=use,
            logs=logs_as_set_up(),
        )
        self._channel = private_channel(folder / socket, options.max_message_bytes)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cloud_server.processes.replica"],
            stdin=subprocess.PIPE,
            pass_fds=() if use is None else (use,),
            stdout=subprocess.DEVNULL,
            env={"GRPC_VERBOSITY": "ERROR", **os.environ},
            # Ctrl-C is for the front, which tells its replicas.
            start_new_session=True,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        with contextlib.suppress(BrokenPipeError):  # it has ended, which shows in a moment
            self._process.stdin.write(told.write())  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    async def follow(self, offer: Offer) -> list[str]:
        """Let it offer these versions and no others; return the names of those that it lacks."""
        message = OFFER.dump_json(offer)
        lacks: list[str] = json.loads(await self._call(private_calls.FOLLOW, message, None))
        return lacks

    async def reached(self) -> None:
        """Wait until it listens to the front."""
        await self._call(private_calls.TELL, b"", _START_S)

    async def during(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait until work with it is done; FaultError when it ends before."""
        ended, working = asyncio.ensure_future(self.ended()), asyncio.ensure_future(work)
        try:
            await asyncio.wait({ended, working}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise FaultError(
                    f"replica {self.number} {self.ending()} before it was ready. The log says more."
                ).passing()
            working.result()
        finally:
            for one in (ended, working):
                one.cancel()
            await asyncio.gather(ended, working, return_exceptions=True)

    async def open(self, address: str) -> None:
        """Let it take connections at the address."""
        await self._call(private_calls.OPEN, address.encode(), _START_S)
        self.is_open = True

    async def tell(self) -> ToldBooks:
        """Return what its books say now."""
        return TOLD_BOOKS.validate_json(await self._call(private_calls.TELL, b"", _TELL_S))

    async def stop(self, grace_s: float) -> None:
        """Let it drain and end; who takes much longer is ended."""
        with contextlib.suppress(FaultError):
            await self._call(private_calls.STOP, repr(grace_s).encode(), _TELL_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s + _END_S):
                await self.ended()

    async def ended(self) -> None:
        """Wait until it has ended."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        pidfd = os.dup(self._pidfd)
        loop.add_reader(pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def ending(self) -> str:
        """Return how it has ended, as a predicate."""
        status = self._process.wait()
        if status >= 0:
            return f"has ended with status {status}"
        if status == -signal.SIGKILL:
            return "was killed (the system does that where memory runs short)"
        return f"was ended by {signal.Signals(-status).name}"

    def kill(self) -> None:
        """End it at once, if it runs, and let go what is kept of it."""
        self._signal_end()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        os.close(self._pidfd)

    def _signal_end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """End it at once, and the connection to it; what it takes to end keeps nobody else waiting."""
        self._signal_end()
        await self.ended()
        self.kill()
        await self._channel.close()

    async def _call(self, method: str, message: bytes, timeout_s: float | None) -> bytes:
        call: Any = self._channel.unary_unary(f"/{private_calls.SERVICE}/{method}")
        try:
            answer: bytes = await call(message, timeout=timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            said = error.details()
            raise FaultError(f"replica {self.number} does not answer: {said}.").passing() from error
        return answer
