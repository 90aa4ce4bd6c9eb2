"""The models that a server offers: names, the versions of each, and who gets which."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NoReturn

from cloud_server.models.tails import ROOMY, TailCounts, TailLimits, Tails
from cloud_server.models.version import Model, Version, models_of
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.errors import MismatchError, UnknownNameError
from protos.inference_pb2 import ModelInferRequest
from protos.names import (
    CLOUD,
    EDGE,
    PARAM_BUNDLE_DIGEST,
    PARAM_CALIBRATION_DIGEST,
    model_name,
)
from protos.serving.answers import ServedKey

_NAMES_SHOWN = 12


class ModelStore:
    """Versions of bundles by name, their models, and the tails of these in memory.

    Reading may be done in any thread, `offer`, `hide`, `show`, `load` and `preload` in the event loop.
    """

    def __init__(
        self,
        versions: Iterable[Version],
        options: RuntimeOptions,
        limits: TailLimits = ROOMY,
    ) -> None:
        self.on_change: Callable[[], None] = _unheard
        """Is called in the event loop once other versions are offered, or hidden."""
        self._tails = Tails(options, limits)
        self._hidden: frozenset[str] = frozenset()
        self._there: dict[str, tuple[Version, ...]] = {}
        # Replaced as a whole, so that threads that read see one or the other.
        self._models: dict[str, tuple[Model, ...]] = {}
        self.offer(versions)

    @property
    def versions(self) -> Mapping[str, Sequence[Version]]:
        """The versions that can be asked for, by the name of their bundle; the default comes first."""
        return {name: found for name, found in self._there.items() if name not in self._hidden}

    @property
    def hidden(self) -> Mapping[str, Sequence[Version]]:
        """The versions that are there and cannot be asked for, as they were unloaded; by name."""
        return {name: found for name, found in self._there.items() if name in self._hidden}

    @property
    def bundles(self) -> Mapping[str, Bundle]:
        """The default version of each bundle, by name."""
        return {name: found[0].bundle for name, found in self.versions.items()}

    @property
    def models(self) -> Mapping[str, Model]:
        """The default version of each model, by name."""
        return {name: found[0] for name, found in self._models.items()}

    def offer(
        self, versions: Iterable[Version], hidden: Collection[str] | None = None
    ) -> Mapping[str, str]:
        """Serve these versions from now on, and no others, but for those `hidden`; None: as until now.

        Returns why some are not served, by the name of their bundle: another bundle, one that was there
        before them or comes first in the alphabet, offers a model of the same name; or another version, one
        that was there before or else was written last, has the same number.
        """
        found: dict[str, list[Version]] = {}
        for version in versions:
            found.setdefault(version.name, []).append(version)
        there: dict[str, tuple[Version, ...]] = {}
        offered: dict[str, Version] = {}
        refused: dict[str, str] = {}
        for name in sorted(found, key=lambda name: (name not in self._there, name)):
            before = {version.digest for version in self._there.get(name, ())}
            ranked, twins = _told_apart(_ranked(found[name]), before)
            called = models_of(ranked)
            if twin := next((offered[one] for one in called if one in offered), None):
                refused[name] = _clash(twin, ranked[0])
                continue
            if twins:
                refused[name] = twins
            offered |= dict.fromkeys(called, ranked[0])
            there[name] = ranked
        self._serve(there, self._hidden if hidden is None else frozenset(hidden))
        return refused

    def hide(self, name: str) -> None:
        """Refuse requests for a bundle until it is shown again, and give its memory back."""
        self.find_bundle(name)
        self._serve(self._there, self._hidden | {name})

    def show(self, name: str) -> None:
        """Serve a bundle again; UnknownNameError where there is none."""
        self._serve(self._there, self._hidden - {name})
        self.find_bundle(name)

    def find(self, name: str, version: str = "") -> Model:
        """Return the model called `name`, of the default version or of that asked for.

        Raises UnknownNameError, which lists those that exist.
        """
        found = self._all_of(name)
        if not version:
            return found[0]
        for model in found:
            if model.owner.is_called(version):
                return model
        raise UnknownNameError(
            f"model {name!r} has no version {version!r}. It has: {_told([one.owner for one in found])}. "
            "Ask for one of these, or for none to get the first."
        )

    def find_for(self, header: ModelInferRequest) -> Model:
        """Return the model that a request is for: of the very version that it names, else of the default.

        It may name the number of a version, the digest of the edge's bundle, and the calibration that
        encoded it. Raises UnknownNameError, and MismatchError when the edge's bundle is not there.
        """
        model = self.find(header.model_name, header.model_version)
        if PARAM_BUNDLE_DIGEST not in header.parameters:
            return model
        wanted = header.parameters[PARAM_BUNDLE_DIGEST].string_param
        found = (model,) if header.model_version else self._all_of(header.model_name)
        same = [one for one in found if one.bundle.digest == wanted]
        return _calibrated(same, header) if same else _other(wanted, [one.owner for one in found])

    def find_version(self, name: str, version: str = "") -> Version:
        """Return a version of the bundle called `name`: the default, or that asked for.

        Raises UnknownNameError, which lists those that exist.
        """
        there = self._versions_of(name)
        for found in there:
            if not version or found.is_called(version):
                return found
        raise UnknownNameError(
            f"bundle {name!r} has no version {version!r}. It has: {_told(there)}. Name one of these."
        )

    def find_bundle(self, name: str, version: str = "") -> Bundle:
        """Return the bundle of `find_version`."""
        return self.find_version(name, version).bundle

    def find_held(self, name: str, digest: str, version_digest: str = "") -> Version:
        """Return the newest version with the digest of the edge's bundle; empty: the default.

        Of several that differ in calibration and exits alone, the edge may name its own, which need not be
        there. Raises UnknownNameError where there is no such bundle, MismatchError where all are others.
        """
        there = self._versions_of(name)
        same = [one for one in there if not digest or one.bundle.digest == digest]
        own = [one for one in same if one.digest == version_digest]
        return (own or same)[0] if same else _other(digest, there)

    def loaded(self, model: Model) -> Stage | None:
        """Return the tail if it is in memory, and count this as its latest use."""
        return self._tails.loaded(model)

    @property
    def counts(self) -> TailCounts:
        """What was done to tails so far."""
        return self._tails.counts

    def sizes(self) -> dict[ServedKey, int]:
        """Return the bytes of each tail in memory, by the name and the newest version of its model."""
        found = self._tails.sizes()
        return {
            (name, models[0].version): found[models[0].tail]
            for name, all_of in self._models.items()
            for models in _by_tail(all_of)
            if models[0].tail in found
        }

    async def load(self, model: Model) -> Stage:
        """Return the tail, loading it off the loop if need be; BundleError when the runtime refuses it."""
        return await self._tails.load(model)

    async def preload(self, names: Iterable[str]) -> list[Model]:
        """Load models by their name, or cuts of every bundle that has them; return what was loaded."""
        wanted = [model for name in names for model in self._named(name)]
        for model in wanted:
            await self.load(model)
        return wanted

    def close(self) -> None:
        """Stop loading; what is loaded goes with the store."""
        self._tails.close()

    def _serve(self, there: dict[str, tuple[Version, ...]], hidden: frozenset[str]) -> None:
        shown = [versions for name, versions in there.items() if name not in hidden]
        self._there, self._hidden = there, hidden
        self._models = {name: found for some in shown for name, found in models_of(some).items()}
        self._tails.keep({version.bundle.digest for some in shown for version in some})
        self.on_change()

    def _versions_of(self, name: str) -> tuple[Version, ...]:
        found = () if name in self._hidden else self._there.get(name, ())
        if not found:
            raise UnknownNameError(
                f"this server has no bundle {name!r}. It has: {_listed(self.versions)}."
            )
        return found

    def _all_of(self, name: str) -> tuple[Model, ...]:
        found = self._models.get(name)
        if found is None and name.endswith(f".{CLOUD}"):
            found = self._models.get(name.removesuffix(f".{CLOUD}"))
        if found is None:
            raise UnknownNameError(self._unknown(name))
        return found

    def _named(self, name: str) -> list[Model]:
        models = self.models
        found = [
            models[model_name(bundle, name)]
            for bundle in self.versions
            if model_name(bundle, name) in models
        ]
        return found or [self.find(name)]

    def _unknown(self, name: str) -> str:
        there = self._there
        owners = [bundle for bundle in there if name == bundle or name.startswith(f"{bundle}.")]
        owner = max(owners, key=len, default="")
        if owner in self._hidden:
            others = f", or use another: {_listed(self.versions)}" if self.versions else ""
            return f"{owner} was unloaded. Load it again{others}."
        if owner and name == model_name(owner, EDGE):
            return (
                f"model {name!r} has nothing to serve: the cut {EDGE!r} leaves everything on the "
                f"edge. The whole model is {owner!r}."
            )
        if owner:
            cuts = [cut for cut in there[owner][0].bundle.cuts if cut != EDGE]
            return (
                f"{owner} has no cut {name.removeprefix(owner + '.')!r}. It has: {_listed(cuts)}. "
                "Use one of these; if the edge has others, give both sides the same bundle."
            )
        return (
            f"this server has no model {name!r}. It has: {_listed(self._models)}. "
            "A name is <bundle> or <bundle>.<cut>."
        )


def _unheard() -> None:
    """Do nothing with the news."""


def _ranked(versions: Iterable[Version]) -> tuple[Version, ...]:
    """Return the versions of one name, the default first, each but once."""
    found: dict[str, Version] = {}
    for version in sorted(versions, key=lambda version: version.rank, reverse=True):
        found.setdefault(version.digest, version)
    return tuple(found.values())


def _told_apart(
    ranked: Sequence[Version], before: Collection[str]
) -> tuple[tuple[Version, ...], str]:
    """Return of versions with one number but one, and why the others are not served.

    It is one of `before`, digests of those that were there, or else the first: whoever asks for a number gets
    what had it.
    """
    by_number: dict[str, Version] = {}
    why = ""
    for version in sorted(ranked, key=lambda version: version.digest not in before):
        kept = by_number.setdefault(version.number, version)
        if kept is not version:
            why = (
                f"{version.bundle.path} is not served: it holds another version {version.number} than "
                f"{kept.bundle.path}, which goes on. Sign it as another release, or remove one of the two."
            )
    return tuple(one for one in ranked if by_number[one.number] is one), why


def _calibrated(same: Sequence[Model], header: ModelInferRequest) -> Model:
    """Return, of versions that differ in calibration and exits alone, the one that the values are for."""
    if PARAM_CALIBRATION_DIGEST in header.parameters:
        mark = header.parameters[PARAM_CALIBRATION_DIGEST].string_param
        for model in same:
            if (ranges := model.bundle.ranges) is not None and ranges.mark == mark:
                return model
    return same[0]


def _clash(twin: Version, found: Version) -> str:
    return (
        f"{found.bundle.path} is not served: it and {twin.bundle.path}, which is, both offer a model "
        f"{found.name!r} or a cut of it. Import one of them again under another name."
    )


def _by_tail(models: Iterable[Model]) -> list[list[Model]]:
    """Return the models that share one tail together, the newest first."""
    found: dict[tuple[str, str], list[Model]] = {}
    for model in models:
        found.setdefault(model.tail, []).append(model)
    return list(found.values())


def _other(digest: str, there: Sequence[Version]) -> NoReturn:
    raise MismatchError(
        f"the edge's bundle {there[0].name!r} has the digest {digest[:12]}…, the server's {_told(there)}. "
        "Give both the same bundle: fetch it from this server, or put the edge's into its folder of bundles."
    )


def _told(there: Sequence[Version]) -> str:
    return ", ".join(map(str, there[:_NAMES_SHOWN]))


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    rest = len(known) - _NAMES_SHOWN
    shown = ", ".join(known[:_NAMES_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
