"""What the tests of the edge share beside bundles."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from tests.kit.frames import frames
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


@pytest.fixture(scope="session")
def residual_address(residual_bundle: Bundle) -> Iterator[str]:
    """The address of a cloud that serves the residual network."""
    with CloudServer(bundles=residual_bundle.path, listen="127.0.0.1:0") as server:
        yield server.address


@pytest.fixture
def source(residual_bundle: Bundle, tmp_path: Path) -> Path:
    """A file with three frames for the residual network."""
    (spec,) = residual_bundle.inputs
    path = tmp_path / "frames.npy"
    np.save(path, np.concatenate([each[spec.name] for each in frames(residual_bundle, 3)]))
    return path


@pytest.fixture
def held(exiting: Bundle, tmp_path: Path) -> Bundle:
    """All heads and exits of the classifier."""
    return export_heads(exiting, tmp_path / "held")
