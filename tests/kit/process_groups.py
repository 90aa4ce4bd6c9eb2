"""Servers of several processes, and connections that reach each of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from tests.kit.cloud_calls import TIMEOUT_S, connected
from tests.kit.server_process import COMMAND, running


@contextmanager
def serving_in(processes: int, bundles: Path, *flags: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A server of so many processes that is ready, and what it said then."""
    words = ("--bundles", str(bundles), "--processes", str(processes), *flags)
    with running(COMMAND, *words) as found:
        yield found


def family(process: Any) -> list[psutil.Process]:
    """The processes of a server, the front first."""
    front = psutil.Process(process.pid)
    return [front, *front.children()]


def holders(address: str, processes: list[psutil.Process]) -> list[int]:
    """How many connections of the public port each of these holds."""
    port = int(address.rpartition(":")[2])
    return [
        sum(
            one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
            for one in process.net_connections("tcp")
        )
        for process in processes
    ]


@contextmanager
def reaching_all(
    address: str,
    processes: list[psutil.Process],
    connect: Callable[[str], Any] = connected,
) -> Iterator[list[grpc.Channel]]:
    """Channels, as many as it takes until each of the processes holds one of them at least."""
    with ExitStack() as stack:
        channels: list[grpc.Channel] = []
        while not all(holders(address, processes)):
            if len(channels) > 60:
                pytest.fail("the system gives all connections to one process")
            channel = stack.enter_context(connect(address))
            grpc.channel_ready_future(channel).result(TIMEOUT_S)
            channels.append(channel)
        yield channels
