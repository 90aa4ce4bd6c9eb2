"""Probes of a device whose quota is small: they wait as long as they are told, and measure what they may."""

import pytest

from edge_client.cloud import probe_connection
from edge_client.cloud.probe_connection import ProbeConnection
from partitioner.estimators.transfer import Transfer
from protos.errors import OverloadedError, QuotaError
from protos.rpc.endpoints import Endpoint
from tests.kit.clocks import FakeClock


class Sparing(ProbeConnection):
    """A connection to a server that takes a transfer every `every_s`, by a clock that sleeps forward."""

    def __init__(self, every_s: float, kind: type[OverloadedError] = QuotaError) -> None:
        self.fake, self.slept, self.kind, self.every_s = FakeClock(0.0), 0.0, kind, every_s
        self.free_at = 0.0
        super().__init__(Endpoint("127.0.0.1:1"), self.fake, self.sleeping)

    async def sleeping(self, seconds: float) -> None:
        self.fake.now_s += seconds
        self.slept += seconds

    async def _transfer(self, size: int) -> Transfer:
        now_s = self.fake.now_s
        if now_s < self.free_at:
            raise self.kind("more than it may take.", self.free_at - now_s)
        self.free_at = now_s + self.every_s
        return Transfer(size, 1, now_s, now_s + 0.001, 0.0)


async def test_link_is_measured_within_a_small_quota() -> None:
    connection = Sparing(every_s=0.2)
    small, large = await connection.two_over_a_new_link(100_000)
    assert small.upload_bytes < large.upload_bytes
    assert connection.slept > 1.0


@pytest.mark.parametrize(
    ("every_s", "kind"),
    [(probe_connection._LONGEST_WAIT_S + 1, QuotaError), (0.2, OverloadedError)],
    ids=["for long", "a server that is full"],
)
async def test_what_would_hold_up_the_search_for_a_cloud_is_not_waited_for(
    every_s: float, kind: type[OverloadedError]
) -> None:
    connection = Sparing(every_s, kind)
    await connection.transfer(1)
    with pytest.raises(kind):
        await connection.transfer(1)
    assert connection.slept == 0
