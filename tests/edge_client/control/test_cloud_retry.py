"""Retries of a cloud whose servers ask to be left alone, or move to other addresses."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.cloud.greeting import ServerInfo
from edge_client.cloud.servers import parse_servers
from edge_client.cloud.transport import GrpcTransport
from edge_client.control import cloud_retry
from edge_client.control.cloud_retry import CloudRetry
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from partitioner.estimators.cloud_checks import greet_patience_s
from protos.errors import (
    DeniedError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    UnreachableError,
)
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from tests.kit.clocks import FakeClock

WELL = ServerInfo("", 1 << 20, 1)


class Network:
    """Greets servers as a test says, and notes who was asked, and when."""

    def __init__(self, servers: str, security: ChannelSecurity | None = None) -> None:
        self.clock = FakeClock(0.0)
        self.asked: list[tuple[float, str]] = []
        self.answers: dict[str, SplitpointError] = {}
        self.waited: list[tuple[str, float]] = []
        self.transport = GrpcTransport(parse_servers(servers, security))
        self.breaker = Breaker()
        controller: Any = SimpleNamespace(adapts=False)
        probes: Any = self
        bundle: Any = None
        self.retry = CloudRetry(
            bundle, self.transport, self.breaker, controller, probes, self.back, self.clock
        )

    async def turn_to(self, server: Endpoint) -> None:
        self.asked.append((round(self.clock.now_s, 1), server.address))

    async def hang_up(self) -> None:
        pass

    async def greet(self, _bundle: object, patience_s: float) -> ServerInfo:
        self.waited.append((self.asked[-1][1], patience_s))
        if (error := self.answers.get(self.asked[-1][1])) is not None:
            raise error
        return WELL

    async def back(self, _info: ServerInfo) -> None:
        pass

    async def run(self, seconds: float) -> None:
        """Let so much time pass, with a look at what is due ten times a second."""
        for _ in range(round(10 * seconds)):
            self.clock.now_s += 0.1
            self.retry.note_files()
            if self.breaker.is_due(self.clock.now_s):
                await self.retry.retry()
            await asyncio.sleep(0)


@pytest.mark.parametrize("at_greeting", [False, True])
async def test_only_server_that_was_full_is_asked_again_once_its_rest_is_over(
    at_greeting: bool,
) -> None:
    net = Network("127.0.0.1:1")
    full = OverloadedError("full.", retry_after_s=5.0)
    if at_greeting:
        net.answers["127.0.0.1:1"] = full
    net.breaker.trip(UnreachableError("gone.") if at_greeting else full, 0.0)
    await net.run(3.0)
    assert len(net.asked) == at_greeting
    net.answers.clear()
    await net.run(3.0)
    assert net.breaker.circuit is Circuit.TRYING
    assert len(net.asked) == 1 + at_greeting
    await net.retry.close()


async def test_rest_that_one_server_asked_for_is_not_charged_to_the_next() -> None:
    net = Network("127.0.0.1:1,127.0.0.1:2")
    net.answers["127.0.0.1:1"] = OverloadedError("full.", retry_after_s=20.0)
    net.answers["127.0.0.1:2"] = OverloadedError("full.", retry_after_s=1.0)
    net.breaker.trip(UnreachableError("gone."), 0.0)
    await net.run(10.0)
    assert [address for _, address in net.asked].count("127.0.0.1:1") == 1
    assert [address for _, address in net.asked].count("127.0.0.1:2") >= 8
    await net.retry.close()


async def test_each_server_is_waited_for_now_and_then_as_long_as_a_slow_link_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloud_retry, "greet_patience_s", greet_patience_s)
    net, gone = Network("127.0.0.1:1,127.0.0.1:2"), UnreachableError("gone.")
    net.answers = {"127.0.0.1:1": gone, "127.0.0.1:2": gone}
    for _outage in range(2):
        net.waited.clear()
        net.breaker.trip(gone, net.clock.now_s)
        await net.run(5.0)
        for server in net.answers:
            patience = [seconds for address, seconds in net.waited if address == server]
            assert patience[:6] == [1.0, 1.0, 5.0] * 2
        net.answers, before = {}, net.answers
        await net.run(5.0)
        assert net.breaker.circuit is Circuit.TRYING
        net.breaker.succeeded()
        net.answers = before
    await net.retry.close()


async def test_updates_are_heard_of_the_server_that_is_there_though_it_has_another_version() -> (
    None
):
    """The one that has this version is away: the other may offer what it has."""
    net = Network("127.0.0.1:1,127.0.0.1:2")
    gone, other = UnreachableError("gone."), MismatchError("another version.")
    net.answers = {"127.0.0.1:1": gone, "127.0.0.1:2": other}
    net.breaker.trip(gone, 0.0)
    await net.run(5.0)
    assert net.transport.address == "127.0.0.1:2"
    net.answers["127.0.0.1:1"] = other
    await net.run(5.0)
    assert net.transport.address == "127.0.0.1:2"  # downloads from there are not broken off
    del net.answers["127.0.0.1:1"]
    await net.run(5.0)
    assert (net.transport.address, net.breaker.circuit) == ("127.0.0.1:1", Circuit.TRYING)
    await net.retry.close()


async def test_servers_that_moved_while_all_were_away_are_found() -> None:
    net = Network("cloud.example:1")
    known: list[str] = []

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        if not known:
            raise OSError("the name service is away, too")
        return known

    net.transport.servers.resolving = resolve
    gone = UnreachableError("gone.")
    net.answers["cloud.example:1"] = gone
    net.breaker.trip(gone, 0.0)
    await net.run(5.0)
    known += ["10.0.0.7", "10.0.0.8"]
    net.answers["10.0.0.7:1"] = gone
    await net.run(20.0)
    assert net.breaker.circuit is Circuit.TRYING
    assert net.transport.address == "10.0.0.8:1"
    await net.retry.close()


async def test_look_up_ends_with_the_client() -> None:
    net, entered = Network("cloud.example:1"), asyncio.Event()

    async def stuck(_host: str, _port: int) -> Sequence[str]:
        entered.set()
        await asyncio.Event().wait()
        return []

    net.transport.servers.resolving = stuck
    net.breaker.trip(UnreachableError("gone."), 0.0)
    await net.run(1.0)
    await entered.wait()
    before = asyncio.all_tasks()
    await net.retry.close()
    assert len(asyncio.all_tasks()) == len(before) - 1


BY_ANOTHER = UnreachableError("another authority.", "has another authority", needs_a_person=True)


@pytest.mark.parametrize("error", [BY_ANOTHER, DeniedError("who are you?")])
async def test_what_a_person_has_to_mend_is_looked_at_twice_a_minute_in_the_end(
    error: SplitpointError,
) -> None:
    net = Network("127.0.0.1:1")
    net.answers["127.0.0.1:1"] = error
    net.breaker.trip(error, 0.0)
    await net.run(600.0)
    asked = [at_s for at_s, _ in net.asked]
    assert sum(at_s < 60.0 for at_s in asked) < 20
    assert 15 <= sum(at_s > 120.0 for at_s in asked) <= 20
    await net.retry.close()


async def test_server_that_a_person_has_to_mend_does_not_hold_up_the_next() -> None:
    net = Network("127.0.0.1:1,127.0.0.1:2")
    net.answers["127.0.0.1:1"] = BY_ANOTHER
    net.answers["127.0.0.1:2"] = UnreachableError("gone.")
    net.breaker.trip(UnreachableError("gone."), 0.0)
    await net.run(300.0)
    del net.asked[:]
    await net.run(30.0)
    assert [address for _, address in net.asked].count("127.0.0.1:2") >= 10
    assert [address for _, address in net.asked].count("127.0.0.1:1") <= 2
    await net.retry.close()


async def test_token_that_was_renewed_is_tried_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a" * 43)
    token.chmod(0o600)
    net = Network("127.0.0.1:1", ChannelSecurity(token_file=token))
    net.answers["127.0.0.1:1"] = DeniedError("who are you?")
    net.breaker.trip(DeniedError("who are you?"), 0.0)
    await net.run(300.0)
    token.write_text("b" * 44)
    del net.asked[:]
    net.answers.clear()
    await net.run(0.2)
    assert len(net.asked) == 1
    assert net.breaker.circuit is Circuit.TRYING
    await net.retry.close()
