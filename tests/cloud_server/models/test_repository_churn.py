"""Any order of versions that come, go and are replaced: no answer is ever by another version."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_server.engine.admission import QueueLimits
from cloud_server.engine.engine import Engine
from cloud_server.models.bundle_folder import BundleFolder
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.models.tails import TailLimits
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.folder import new_folder
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import MismatchError, UnknownNameError
from protos.serving.answers import Job, answer
from protos.wire.framing import decode_response, encode_response
from protos.wire.messages import unpack_response
from tests.kit.cloud_calls import crossing, request_for

FOLDERS = ("a", "b")
CUTS = ("cloud", "cut-02")


class Put(NamedTuple):
    """Version `number` takes the place of what is in a folder; damaged: with broken weights."""

    folder: str
    number: int
    damaged: bool


class Remove(NamedTuple):
    folder: str


class Ask(NamedTuple):
    """An edge that holds version `number` asks; None: a client that names none."""

    number: int | None
    cut: str


class Unload(NamedTuple):
    """Unload, and load again."""


numbers = st.integers(0, 2)
folders = st.sampled_from(FOLDERS)
asks = st.builds(Ask, st.none() | numbers, st.sampled_from(CUTS))
steps = st.one_of(
    st.builds(Put, folders, numbers, st.booleans()),
    st.builds(Remove, folders),
    st.builds(Unload),
    st.lists(asks, min_size=1, max_size=6),
)


class Churn:
    """A server without a network, and what an oracle says of which versions it has."""

    def __init__(self, root: Path, bundles: Sequence[Bundle]) -> None:
        self.root, self.bundles = root, bundles
        self.store = ModelStore((), RuntimeOptions(), TailLimits(max_sessions=3))
        self.repository = Repository(BundleFolder(root), self.store)
        self.engine = Engine(self.store, 2, QueueLimits(99, 1 << 30, 60.0), 1 << 20)
        self.served: dict[str, int] = {}
        """The version that each folder stands for."""

    async def change(self, step: Put | Remove | Unload) -> None:
        if isinstance(step, Unload):
            if self.served:
                self.repository.unload("net")
                await self.repository.load("net")
            return
        target = self.root / step.folder
        if isinstance(step, Remove):
            shutil.rmtree(target, ignore_errors=True)
            self.served.pop(step.folder, None)
        else:
            with new_folder(target, replace=True) as partial:
                shutil.copytree(self.bundles[step.number].path, partial, dirs_exist_ok=True)
                if step.damaged:
                    os.truncate(partial / "graphs" / "weights.bin", 7)
            if not step.damaged:
                self.served[step.folder] = step.number
        await self.repository.reload()
        assert {one.bundle.digest for one in self.versions()} == {
            self.bundles[number].digest for number in self.served.values()
        }

    def versions(self) -> Sequence[Version]:
        return self.store.versions.get("net", ())

    async def ask(self, step: Ask, known: frozenset[int]) -> int | None:
        """Return the version whose numbers come back, None for a refusal; `known`: those that there were."""
        held = self.bundles[step.number or 0]
        values = crossing(held, step.cut) if step.number is not None else crossing(held, "cloud")
        request = request_for(held, step.cut if step.number is not None else "cloud", values)
        if step.number is None:
            del request.parameters["bundle_digest"]
        try:
            data = await answer(self.engine, Job(request.SerializeToString(), encode_response))
        except (MismatchError, UnknownNameError):
            assert step.number not in known if step.number is not None else not known
            return None
        header, raw = decode_response(data)
        (found,) = unpack_response(header, list(raw)).values()
        (number,) = (
            number
            for number, bundle in enumerate(self.bundles)
            if np.allclose(found, expected(bundle), rtol=1e-3, atol=1e-3)
        )
        assert header.model_version == Version(self.bundles[number]).number
        return number

    async def ask_all(self, asked: Sequence[Ask], *, during: Put | Remove | Unload | None) -> None:
        """Ask, and let versions change before the answers are there."""
        before = frozenset(self.served.values())
        answers = [asyncio.create_task(self.ask(one, before)) for one in asked]
        await asyncio.sleep(0)  # all are in the queue
        if during is not None:
            await self.change(during)
        for one, found in zip(asked, await asyncio.gather(*answers), strict=True):
            if found is None:
                continue
            assert found in before
            assert one.number in (None, found)


OUTPUTS: dict[str, np.ndarray] = {}


def expected(bundle: Bundle) -> np.ndarray:
    """The whole model's answer to the inputs that everybody sends: the oracle."""
    if bundle.digest not in OUTPUTS:
        (found,) = bundle.open_tail("cloud").run(crossing(bundle, "cloud")).values()
        OUTPUTS[bundle.digest] = found
    return OUTPUTS[bundle.digest]


@pytest.fixture(scope="module")
def bundles(net_versions: list[Bundle]) -> list[Bundle]:
    return net_versions


@settings(max_examples=12)
@given(st.lists(steps, min_size=2, max_size=8))
def test_no_answer_is_by_another_version(
    bundles: list[Bundle], program: list[Put | Remove | Unload | list[Ask]]
) -> None:
    async def run(root: Path) -> None:
        churn = Churn(root, bundles)
        waiting: list[Ask] = []
        for step in program:
            if isinstance(step, list):
                waiting += step
            else:
                await churn.ask_all(waiting, during=step)
                waiting = []
        await churn.ask_all(waiting, during=None)
        churn.engine.close()
        churn.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
