"""Several servers of one cloud: which comes next, and what their names stand for."""

import socket
import threading
from collections.abc import Mapping, Sequence

import pytest

from edge_client.cloud import servers as servers_module
from edge_client.cloud.servers import Resolve, Servers, parse_servers, resolve
from protos.errors import UsageError
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity


def addresses(servers: Servers, first: Endpoint, count: int, now_s: float = 0.0) -> list[str]:
    """Who is tried, if each fails in turn."""
    tried = [first]
    for _ in range(count):
        tried.append(servers.after(tried[-1], now_s))
    return [server.address for server in tried[1:]]


def test_next_is_in_turn_and_the_same_where_there_is_no_other() -> None:
    servers = parse_servers("a:1, b:1,c:1")
    assert (len(servers), servers.current.address) == (3, "a:1")
    assert addresses(servers, servers.current, 4) == ["b:1", "c:1", "a:1", "b:1"]
    alone = parse_servers("a:1")
    assert addresses(alone, alone.current, 2) == ["a:1", "a:1"]


def test_who_asked_to_be_left_alone_is_passed_over_while_others_did_not() -> None:
    servers = parse_servers("a:1,b:1,c:1")
    a, b, c = (Endpoint(name) for name in ("a:1", "b:1", "c:1"))
    servers.rest(b, until_s=10)
    assert addresses(servers, servers.current, 3) == ["c:1", "a:1", "c:1"]
    servers.rest(a, until_s=8)
    servers.rest(c, until_s=9)
    # All rest: it is the one that may be asked soonest, and until then nobody.
    soonest = servers.after(servers.current, 5.0)
    assert (soonest.address, servers.rests_for_s(soonest, 5.0)) == ("a:1", 3.0)
    assert servers.rests_for_s(soonest, 8.0) == 0.0


@pytest.mark.parametrize("text", ["a:1,a:1", "a:1,", ",", "a:1,b", "a:1 b:1"])
def test_list_that_names_no_servers_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_servers(text)


def names(known: Mapping[str, Sequence[str]]) -> Resolve:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        if host not in known:
            raise OSError("no such name")
        return known[host]

    return resolve


async def look_up(servers: Servers, resolving: Resolve) -> None:
    servers.resolving = resolving
    await servers.look_up()


async def test_name_stands_for_all_its_addresses_and_its_certificate_is_still_for_the_name() -> (
    None
):
    servers = parse_servers("cloud.example:50051,10.9.9.9:50051", ChannelSecurity(tls=True))
    known = {"cloud.example": ["10.0.0.1", "10.0.0.2", "fd00::1"], "10.9.9.9": ["10.9.9.9"]}
    await look_up(servers, names(known))
    assert str(servers) == "10.0.0.1:50051,10.0.0.2:50051,[fd00::1]:50051,10.9.9.9:50051"
    assert servers.current.address == "cloud.example:50051"
    first = servers.after(servers.current, 0.0)
    assert (first.address, first.security.server_name) == ("10.0.0.1:50051", "cloud.example")
    assert addresses(servers, first, 3) == ["10.0.0.2:50051", "[fd00::1]:50051", "10.9.9.9:50051"]
    last = servers.after(servers.after(servers.after(first, 0.0), 0.0), 0.0)
    assert last.security.server_name == ""


async def test_address_that_two_names_stand_for_is_one_server_and_the_others_have_their_turn() -> (
    None
):
    servers = parse_servers("a.example:1,b.example:1", ChannelSecurity(tls=True))
    known = {"a.example": ["10.0.0.1", "10.0.0.2"], "b.example": ["10.0.0.2", "10.0.0.3"]}
    await look_up(servers, names(known))
    assert len(servers) == 3
    tried = addresses(servers, servers.current, 4)
    assert tried == ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.1:1"]


async def test_text_that_can_be_no_name_stands_for_itself() -> None:
    servers = parse_servers("a..b:1")
    await servers.look_up()
    assert str(servers) == "a..b:1"


async def test_server_in_use_stays_in_use_when_its_name_stands_for_others() -> None:
    servers = parse_servers("cloud.example:1")
    await look_up(servers, names({"cloud.example": ["10.0.0.1", "10.0.0.2"]}))
    in_use = servers.after(servers.after(servers.current, 0.0), 0.0)
    servers.use(in_use)
    await look_up(servers, names({"cloud.example": ["10.0.0.3", "10.0.0.2"]}))
    assert servers.current is in_use
    assert servers.after(in_use, 0.0).address == "10.0.0.3:1"
    await look_up(servers, names({"cloud.example": ["10.0.0.3", "10.0.0.4"]}))
    assert servers.current is in_use  # until it fails
    assert servers.after(in_use, 0.0).address == "10.0.0.3:1"


@pytest.mark.parametrize("found", [["127.0.0.1", "::1"], ["10.0.0.1"]])
async def test_name_of_this_machine_or_of_one_address_stands_for_itself(found: list[str]) -> None:
    servers = parse_servers("box:1")
    await look_up(servers, names({"box": found}))
    assert str(servers) == "box:1"


async def test_silent_name_service_changes_nothing() -> None:
    servers = parse_servers("cloud.example:1")
    await look_up(servers, names({}))
    assert str(servers) == "cloud.example:1"


async def test_servers_behind_a_name_stay_while_its_service_is_silent() -> None:
    servers = parse_servers("cloud.example:1")
    await look_up(servers, names({"cloud.example": ["10.0.0.1", "10.0.0.2"]}))
    await look_up(servers, names({}))
    assert str(servers) == "10.0.0.1:1,10.0.0.2:1"


async def test_name_service_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the start, nor the end of the process, which waits for the threads of its loops."""
    hangs = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        hangs.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(servers_module, "_RESOLVED_S", 0.001)
    servers = parse_servers("cloud.example:1")
    try:
        await servers.look_up()
        assert str(servers) == "cloud.example:1"
        (waiting,) = (one for one in threading.enumerate() if one.name == "splitpoint-names")
        assert waiting.daemon
    finally:
        hangs.set()
        waiting.join()


async def test_system_knows_the_addresses_of_this_machine() -> None:
    assert set(await resolve("localhost", 1)) & {"127.0.0.1", "::1"}
    with pytest.raises(UnicodeError):
        await resolve("a..b", 1)
