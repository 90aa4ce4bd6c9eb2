"""The race of the first greeting: who is greeted when, and who is taken."""

import asyncio

import pytest

from edge_client.cloud.greeting import ServerInfo
from edge_client.cloud.greeting_race import first_greeted
from protos.errors import MismatchError, UnreachableError, UsageError
from protos.rpc.endpoints import Endpoint

A, B, C = (Endpoint(f"{name}:1") for name in "abc")
LONG_S = 3600.0
"""Nobody waits for so long here."""


class Greetings:
    """Answers for each server: an error, or what it says of itself; a server that has neither is silent."""

    def __init__(self, answers: dict[Endpoint, Exception | ServerInfo]) -> None:
        self.answers = answers
        self.asked: list[Endpoint] = []
        self.given_up: list[Endpoint] = []

    async def __call__(self, server: Endpoint) -> ServerInfo:
        self.asked.append(server)
        try:
            if server not in self.answers:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up.append(server)
            raise
        answer = self.answers[server]
        if isinstance(answer, Exception):
            raise answer
        return answer


def info(name: str) -> ServerInfo:
    return ServerInfo(name, 1 << 20, 1)


async def test_preferred_server_that_answers_is_the_only_one_that_is_greeted() -> None:
    greetings = Greetings({A: info("a"), B: info("b")})
    assert await first_greeted((A, B), greetings, LONG_S) == (A, info("a"))
    assert greetings.asked == [A]


async def test_next_is_greeted_at_once_when_one_fails() -> None:
    greetings = Greetings({A: UnreachableError("a."), B: MismatchError("b."), C: info("c")})
    assert await first_greeted((A, B, C), greetings, LONG_S) == (C, info("c"))
    assert greetings.asked == [A, B, C]


async def test_silent_servers_get_company_and_are_given_up_for_the_one_that_answers() -> None:
    greetings = Greetings({C: info("c")})
    assert await first_greeted((A, B, C), greetings, 0.0) == (C, info("c"))
    assert greetings.asked == [A, B, C]
    assert greetings.given_up == [A, B]


async def test_without_any_it_is_what_the_preferred_one_came_to() -> None:
    greetings = Greetings({A: UnreachableError("a."), B: MismatchError("b.")})
    with pytest.raises(UnreachableError, match=r"a\."):
        await first_greeted((A, B), greetings, LONG_S)


async def test_fault_of_the_caller_ends_the_race() -> None:
    greetings = Greetings({B: UsageError("the client was closed.")})
    with pytest.raises(UsageError, match="closed"):
        await first_greeted((A, B, C), greetings, 0.0)
    assert greetings.given_up == [A]
