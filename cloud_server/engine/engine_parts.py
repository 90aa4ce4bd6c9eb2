"""The parts that an engine needs, put together as its options ask for."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud_server.engine.admission import QueueLimits
from cloud_server.engine.batch_rules import BatchRules
from cloud_server.engine.engine import Engine
from cloud_server.engine.rule_book import RuleBook
from cloud_server.engine_options import EngineOptions
from cloud_server.models.bundle_folder import BundleFolder
from cloud_server.models.model_store import ModelStore
from cloud_server.models.repository import Repository
from cloud_server.models.tails import TailLimits
from cloud_server.observability.request_book import RequestBook
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.signatures.trust import Trust


@dataclass(frozen=True, kw_only=True)
class EngineParts:
    """An engine, and what it computes from: a folder of bundles, and a store that offers none of them yet.

    `requests` hears of every request; `rules` say how they wait.
    """

    folder: BundleFolder
    store: ModelStore
    rules: RuleBook
    requests: RequestBook
    engine: Engine
    runtime: RuntimeOptions

    @classmethod
    def of(cls, options: EngineOptions) -> Self:
        """Return the parts that these options ask for."""
        runtime = RuntimeOptions(threads=options.threads, provider=options.provider)
        store = ModelStore((), runtime, TailLimits.of(options))
        trust = Trust.of(options.trusted_keys, required=options.require_signature)
        rules, requests = RuleBook(BatchRules.of(options)), RequestBook()
        engine = Engine(
            store,
            options.workers,
            QueueLimits.of(options),
            options.max_decoded_bytes or options.max_message_bytes,
            requests,
            rules,
        )
        return cls(
            folder=BundleFolder(Path(options.bundles), trust),
            store=store,
            rules=rules,
            requests=requests,
            engine=engine,
            runtime=runtime,
        )

    async def offer(self, preload: Iterable[str]) -> Repository:
        """Offer what the folder has, `preload` of it loaded ahead, and return what keeps that so.

        Raises BundleError when there is nothing to offer, and UnknownNameError for what to load ahead.
        """
        names, store, rules = tuple(preload), self.store, self.rules
        repository = Repository(self.folder, store, names)
        repository.on_offer = lambda: rules.learn(store.versions.values())
        await repository.start()
        for model in await store.preload(names):
            await rules.prove(model, await store.load(model))
        return repository

    def close(self) -> None:
        """Compute nothing more."""
        self.engine.close()
        self.store.close()
