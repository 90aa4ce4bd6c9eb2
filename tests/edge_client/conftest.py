"""What the tests of the edge share beside bundles."""

import socket
from collections.abc import Iterator

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from tests.kit.profiles import profile_of


@pytest.fixture
def planned(residual_bundle: Bundle) -> Plan:
    """A plan in which the cloud is twenty times as fast; it lies in no bundle's folder."""
    edge, cloud = profile_of(residual_bundle, 0.02), profile_of(residual_bundle, 0.001)
    return plan(residual_bundle, Link(1e9, 1e9, 0.0005), edge, cloud)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses: bound, so that nobody else gets the port, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
