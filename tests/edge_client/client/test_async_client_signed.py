"""What runs on a device is signed as asked, checked with the bytes that run, and no step back."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from partitioner.signatures.release_book import ReleaseBook
from protos.errors import FileError, SignatureError, UsageError
from tests.kit.edge_commands import invoke, run_edge
from tests.kit.signatures import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.new(tmp_path / "keys")


def client(signer: Signer, bundle: Path | Bundle, state: Path) -> AsyncEdgeClient:
    return AsyncEdgeClient(
        None, bundle, "edge", trusted_keys=signer.trusted, require_signature=True, state=state
    )


async def test_release_that_runs_is_remembered_and_none_below_it_runs(
    signer: Signer, residual_bundle: Bundle, tmp_path: Path
) -> None:
    new = signer.signed_copy(residual_bundle, tmp_path / "new", 2)
    old = signer.signed_copy(residual_bundle, tmp_path / "old", 1)
    feeds = random_feeds(residual_bundle.inputs, np.random.default_rng(0))
    state = tmp_path / "state"
    async with client(signer, new, state) as one:
        assert (await one.infer(feeds)).served_by == "edge"
    assert ReleaseBook(state).highest() == {"residual": 2}
    with pytest.raises(SignatureError, match="this device has run release 2"):
        client(signer, old, state)
    signer.permit(old, "residual", 1, 2)
    async with client(signer, old, state) as back:
        assert (await back.infer(feeds)).served_by == "edge"


async def test_bundle_that_was_loaded_already_is_checked_too(
    signer: Signer, residual_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        client(signer, residual_bundle, tmp_path / "state")
    signed = signer.signed_copy(residual_bundle, tmp_path / "signed")
    assert client(signer, Bundle.load(signed), tmp_path / "state").bundle.name == "residual"


async def test_release_that_cannot_be_remembered_is_not_run(
    signer: Signer, residual_bundle: Bundle, tmp_path: Path
) -> None:
    signed = signer.signed_copy(residual_bundle, tmp_path / "signed")
    (tmp_path / "file").touch()
    (tmp_path / "state").symlink_to(tmp_path / "file")
    with pytest.raises(FileError, match="`state`"):
        async with client(signer, signed, tmp_path / "state"):
            pass


def test_requiring_a_signature_of_nobody_makes_no_sense(residual_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="needs to know whose. Give `trusted_keys`"):
        AsyncEdgeClient(None, residual_bundle, "edge", require_signature=True)


def test_command_runs_what_is_signed_and_nothing_else(
    signer: Signer, residual_bundle: Bundle, tmp_path: Path
) -> None:
    signed = signer.signed_copy(residual_bundle, tmp_path / "signed", 3)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", random_feeds(residual_bundle.inputs, rng, 2)["x"])
    words = ("--trusted-keys", signer.trusted, "--require-signature", "--state", tmp_path / "state")
    done = run_edge(residual_bundle, tmp_path / "frames.npy", *words)
    assert isinstance(done.exception, SignatureError)
    done = run_edge(Bundle.load(signed), tmp_path / "frames.npy", *words)
    assert done.exit_code == 0, done.output
    assert ReleaseBook(tmp_path / "state").highest() == {"residual": 3}
    shutil.copy(signed / "bundle.json", signed / "extra.json")
    done = invoke("serve", "--bundle", signed, "--cut", "edge", "--listen", "127.0.0.1:0", *words)
    assert "'extra.json', which is no part of the bundle" in str(done.exception)
