"""A signer, and a small bundle that it has signed."""

from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from tests.kit.signatures import Signer


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.new(tmp_path_factory.mktemp("signer") / "keys")


@pytest.fixture
def signed(signer: Signer, residual_bundle: Bundle, tmp_path: Path) -> Path:
    """The residual network, signed as release 1."""
    return signer.signed_copy(residual_bundle, tmp_path / "signed")
