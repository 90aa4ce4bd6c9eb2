"""The rule book: by which rules the requests of each model wait, and whether they may share a run."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from weakref import WeakKeyDictionary

from cloud_server.engine.batch_rules import BatchRules
from cloud_server.engine.serving_file import rules_by_cut
from cloud_server.models.version import Model, Version
from partitioner.bundle.manifest import SERVING_FILE
from partitioner.runtime.row_independence import dependence
from partitioner.runtime.sessions import Stage
from protos.errors import BundleError

_log = logging.getLogger(__name__)

_Rules = tuple[BatchRules, BatchRules]
"""Those of a tail, and the same for a tail whose requests are computed one by one."""


class RuleBook:
    """Rules by version and cut, by `default` where a version has none of its own.

    The requests of a tail are computed alone until a thread of the book has found that its rows are
    independent. Used from one event loop.
    """

    def __init__(self, default: BatchRules, depends: Callable[[Stage], str] = dependence) -> None:
        self._otherwise, self._depends = (default, _alone(default)), depends
        self._rules: WeakKeyDictionary[Version, Mapping[str, _Rules]] = WeakKeyDictionary()
        self._proofs: dict[tuple[str, str, str], Future[bool]] = {}
        self._prover = ThreadPoolExecutor(1, thread_name_prefix="prove")

    def learn(self, versions: Iterable[Iterable[Version]]) -> None:
        """Read the rules of the versions that are not known; the log says of each file what became of it."""
        for version in chain.from_iterable(versions):
            self._of(version)

    def _read(self, version: Version) -> None:
        """Read the rules of a version; the options hold, and the log says why, where its file is damaged."""
        try:
            found = rules_by_cut(version.bundle, self._otherwise[0])
        except BundleError as error:
            _log.error("%s The options of the server hold until then.", error)
            found = {}
        else:
            if any(rules != self._otherwise[0] for rules in found.values()):
                _log.info("%s is batched as its %s says", version.bundle.path, SERVING_FILE)
        self._rules[version] = {cut: (rules, _alone(rules)) for cut, rules in found.items()}
        known = {version.bundle.digest for version in self._rules}
        for key in [key for key in self._proofs if key[0] not in known]:
            del self._proofs[key]

    def of(self, model: Model, stage: Stage) -> BatchRules:
        """Return how the requests of a model wait now, and how many rows may be computed together."""
        rules, alone = self._of(model.owner).get(model.cut, self._otherwise)
        if rules.max_batch_size == 1 or self._may_share(model, stage):
            return rules
        return alone

    def written(self, model: Model) -> BatchRules:
        """Return the rules of a model as they are written, whether its rows are independent or not."""
        return self._of(model.owner).get(model.cut, self._otherwise)[0]

    async def prove(self, model: Model, stage: Stage) -> None:
        """Find out now whether the rows of a tail are independent, if its rules let requests share runs."""
        if self._of(model.owner).get(model.cut, self._otherwise)[0].max_batch_size > 1:
            await asyncio.wrap_future(self._proof(model, stage))

    def close(self) -> None:
        """Prove nothing more."""
        self._prover.shutdown(wait=False, cancel_futures=True)

    def _of(self, version: Version) -> Mapping[str, _Rules]:
        if version not in self._rules:
            self._read(version)
        return self._rules[version]

    def _may_share(self, model: Model, stage: Stage) -> bool:
        proof = self._proof(model, stage)
        return proof.done() and not proof.cancelled() and proof.result()

    def _proof(self, model: Model, stage: Stage) -> Future[bool]:
        # A tail in one session and one in segments are tried apart: the runtime sees two graphs.
        key = (*model.tail, type(stage).__name__)
        if key not in self._proofs:
            self._proofs[key] = self._prover.submit(self._prove, model.name, stage)
        return self._proofs[key]

    def _prove(self, name: str, stage: Stage) -> bool:
        try:
            why = self._depends(stage)
        except Exception:  # noqa: BLE001 - whatever it is, requests are computed alone
            _log.exception("%s is computed one request at a time: it cannot be tried", name)
            return False
        if why:
            _log.info("%s is computed one request at a time: %s", name, why)
        return not why


def _alone(rules: BatchRules) -> BatchRules:
    return replace(rules, max_batch_size=1, preferred_batch_size=())
