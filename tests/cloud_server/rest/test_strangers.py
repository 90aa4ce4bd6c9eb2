"""Connections of strangers are bounded, and those who were let in do not pay for them."""

import asyncio
from typing import Any

from cloud_server.rest.strangers import Strangers
from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.rest_calls import answer_on, connect


class Transport:
    """A connection from a host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.closed = False

    def get_extra_info(self, _name: str) -> Any:
        return (self._host, 1)

    def close(self) -> None:
        self.closed = True


def come(strangers: Strangers, *hosts: str) -> list[Any]:
    found: list[Any] = [Transport(host) for host in hosts]
    for one in found:
        strangers.come(one)
    return found


def test_one_too_many_ends_the_oldest_of_the_address_that_has_most() -> None:
    strangers = Strangers(4)
    first, *crowd = come(strangers, "a", "b", "b", "b")
    (another,) = come(strangers, "c")
    assert [one.closed for one in (first, *crowd, another)] == [False, True, False, False, False]
    strangers.leave(crowd[0])  # its end is heard of later, and counts once
    come(strangers, "d")
    assert [one.closed for one in crowd] == [True, True, False]


def test_connection_that_was_let_in_is_none_of_them() -> None:
    strangers = Strangers(1)
    (known,) = come(strangers, "a")
    strangers.leave(known)
    (one,) = come(strangers, "a")
    assert not known.closed
    assert not one.closed
    come(strangers, "a")
    assert one.closed


async def test_who_was_let_in_stays_and_health_makes_nobody_known(
    residual_bundle: Bundle,
) -> None:
    def asked(page: str) -> bytes:
        return f"GET {page} HTTP/1.1\r\nhost: cloud\r\n\r\n".encode()

    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0", most_strangers=1) as address,
    ):
        with connect(address) as known:
            known.sendall(asked("/v2"))
            assert (await asyncio.to_thread(answer_on, known))[0] == 200
            with connect(address) as looker, connect(address) as newest:
                assert (
                    await asyncio.to_thread(looker.recv, 1) == b""
                )  # its end, as `newest` has come
                for connection, page in ((known, "/v2"), (newest, "/livez")):
                    connection.sendall(asked(page))
                    assert (await asyncio.to_thread(answer_on, connection))[0] == 200
                with connect(address):
                    assert await asyncio.to_thread(newest.recv, 1) == b""
