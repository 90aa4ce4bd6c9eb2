"""A standard server of the Open Inference Protocol: which of a bundle's tails it serves, by its metadata.

It knows no greeting of ours. Whether its models are those of this bundle it tells as far as it can: Triton
by the digest in their configurations, which `splitpoint export triton` puts there, all others by the names,
types and shapes of their tensors alone.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from edge_client.cloud.unary_call import OIP_SERVICE, ask
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from protos import inference_pb2 as oip
from protos.codecs.base import Codec
from protos.codecs.plain_tensors import PLAIN_CODECS, plain_codecs, plain_frontier
from protos.codecs.registry import get_codec, is_calibrated
from protos.errors import MismatchError, UnknownNameError
from protos.names import (
    EDGE,
    PARAM_BUNDLE_DIGEST,
    PARAM_CALIBRATION_DIGEST,
    plain_model_name,
    plain_model_version,
)
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.serving.inference import SERVER_NAME
from protos.tensors import TensorSpec

_AT_ONCE, _MODELS_S = 16, 5.0
"""So many models are asked about at the same time; all of their answers have to come over a slow link."""
_OF_THE_SERVER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
"""Codes that tell of the server and not of one of its models, unless they name it."""
_READY = "READY"
_SHOWN = 4
"""Models that a message names."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class PlainServer:
    """What a standard server serves of a bundle."""

    name: str
    """Its name and version, as it says them: `triton 2.51.0`."""
    labels: frozenset[str]
    """Cuts with codecs, as options are called: `cut-04/int8`."""
    tells_digest: bool
    """Whether it has said that its models are of this very bundle; else only their tensors are compared."""
    version: str = ""
    """What requests name as the models' version, so that those of others do not answer; empty: none."""
    most_rows: Mapping[str, int] = field(default_factory=dict, repr=False)
    """How many samples of a frame it takes, by label; where it says so."""
    wrong: tuple[str, ...] = field(default=(), repr=False)
    """What is wrong with models that it has, and that are not used."""


@dataclass(frozen=True)
class _Model:
    """A model that a server may have of a bundle."""

    name: str
    cut: Cut
    codec: Codec

    @property
    def label(self) -> str:
        return f"{self.cut.id}/{self.codec.name}"


@dataclass(frozen=True)
class _Found:
    """What is known of a model that a server has: the mark of its bundle, None: it does not say."""

    model: _Model
    digest: str | None
    versions: Collection[str]
    """That are ready, by their numbers."""
    most_rows: int
    """It takes no more samples at a time; 0: it says nothing of that."""
    wrong: str
    """Why it is not used; empty: it is."""


async def find_models(
    channel: grpc.aio.Channel, server: Endpoint, bundle: Bundle, timeout_s: float
) -> PlainServer | None:
    """Return what a server without our greeting serves of a bundle.

    None for one that tells nothing of itself, and for the local server of an edge, which takes what a cloud
    of ours takes. Raises UnreachableError when it does not answer, UnknownNameError when it serves none of
    the bundle's models, MismatchError when those that it has are of another version.
    """
    asked = _Asked(channel, server, timeout_s)
    about = await asked.known(
        "ServerMetadata", oip.ServerMetadataRequest(), oip.ServerMetadataResponse
    )
    if about is None or about.name == SERVER_NAME:
        return None
    said = f"{about.name} {about.version}".strip()
    wanted = _models(bundle)
    asked.wait_at_least(_MODELS_S)  # it is there
    there = await asked.ready_names()
    asked_about = [model for model in wanted if there is None or model.name in there]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(model: _Model) -> _Found | None:
        async with turns:
            return await asked.look(model, bundle)

    found = [each for each in await asyncio.gather(*map(look, asked_about)) if each is not None]
    used = [each for each in found if not each.wrong]
    if not used:
        raise _none(server, said, bundle, [model.name for model in wanted], found)
    version = str(plain_model_version(bundle.version_digest))
    return PlainServer(
        name=said,
        labels=frozenset(each.model.label for each in used),
        tells_digest=all(each.digest is not None for each in used),
        version=version if all(version in each.versions for each in used) else "",
        most_rows={each.model.label: each.most_rows for each in used if each.most_rows},
        wrong=_summed(each.wrong for each in found if each.wrong),
    )


class _Asked:
    """A server that is asked about its models."""

    def __init__(self, channel: grpc.aio.Channel, server: Endpoint, timeout_s: float) -> None:
        self._channel, self._server, self._timeout_s = channel, server, timeout_s

    def wait_at_least(self, timeout_s: float) -> None:
        """Allow each answer at least so long from now on."""
        self._timeout_s = max(self._timeout_s, timeout_s)

    async def known(self, method: str, request: Message, answer: type[M]) -> M | None:
        """Return an answer; None from a server that does not know the method, or the model."""
        server, timeout_s = self._server, self._timeout_s
        try:
            return await ask(self._channel, server, method, request, answer, timeout_s, OIP_SERVICE)
        except grpc.aio.AioRpcError as failure:
            about_model = "model" in (failure.details() or "").lower()
            if failure.code() in _OF_THE_SERVER and not about_model:
                raise translate(failure, server) from failure
            return None  # servers agree on no code for a model that they lack

    async def ready_names(self) -> frozenset[str] | None:
        """Return the models that are ready; None where the server has no index of them."""
        request = oip.RepositoryIndexRequest()
        index = await self.known("RepositoryIndex", request, oip.RepositoryIndexResponse)
        if index is None or not index.models:
            return None
        # MLServer says `State.READY`.
        states = ((each.name, each.state.rpartition(".")[2]) for each in index.models)
        return frozenset(name for name, state in states if state in ("", _READY))

    async def look(self, model: _Model, bundle: Bundle) -> _Found | None:
        """Return what the server says of a model; None where it has none of this name."""
        described = await self.known(
            "ModelMetadata",
            oip.ModelMetadataRequest(name=model.name),
            oip.ModelMetadataResponse,
        )
        if described is None:
            return None
        config = await self.known(
            "ModelConfig", oip.ModelConfigRequest(name=model.name), oip.ModelConfigResponse
        )
        digest, calibration = _identity(config)
        wrong = _differences(model, described, bundle)
        if digest is not None and digest != bundle.digest:
            wrong = f"of another version of the bundle ({digest[:12]}…)"
        elif not wrong and is_calibrated(model.codec.name):
            wrong = _calibrated_alike(calibration, bundle)
        most_rows = config.config.max_batch_size if config is not None else 0
        return _Found(model, digest, described.versions, most_rows, wrong)


def _models(bundle: Bundle) -> list[_Model]:
    """Return all models that there may be of a bundle, the whole one first."""
    known = bundle.ranges is not None
    names = (name for name in PLAIN_CODECS if known or not is_calibrated(name))
    codecs = [get_codec(name, bundle.ranges) for name in names]
    return [
        _Model(plain_model_name(bundle.name, cut.id, codec.name), cut, codec)
        for cut in bundle.cuts.values()
        if cut.id != EDGE
        for codec in plain_codecs(cut.frontier, codecs)
    ]


def _identity(config: oip.ModelConfigResponse | None) -> tuple[str | None, str | None]:
    """Return the digest of the bundle and the mark of the calibration that a model says it is of."""
    if config is None:
        return None, None
    found = config.config.parameters
    return (
        found[PARAM_BUNDLE_DIGEST].string_value if PARAM_BUNDLE_DIGEST in found else None,
        found[PARAM_CALIBRATION_DIGEST].string_value if PARAM_CALIBRATION_DIGEST in found else None,
    )


def _calibrated_alike(mark: str | None, bundle: Bundle) -> str:
    """Return why a low-bit codec is not used; empty where both sides have the same calibration."""
    ours = bundle.ranges.mark if bundle.ranges else ""
    if mark == ours:
        return ""
    return "of another calibration" if mark else "silent about its calibration"


def _differences(model: _Model, found: oip.ModelMetadataResponse, bundle: Bundle) -> str:
    """Return in what a model's tensors differ from what the bundle says of them; empty: in nothing.

    A server that tells nothing of a model's tensors is believed.
    """
    outputs = [spec for spec in bundle.outputs if spec.name in model.cut.tail_outputs]
    for role, wanted, told in (
        ("input", plain_frontier(model.codec, model.cut.frontier), found.inputs),
        ("output", outputs, found.outputs),
    ):
        by_name = {each.name: each for each in told}
        for spec in wanted if told else ():
            each = by_name.get(spec.name)
            if each is None:
                return f"without the {role} {spec.name!r}"
            if each.datatype != spec.oip_datatype or not _may_be(spec, each.shape):
                shape = list(each.shape)
                return f"with {each.datatype}{shape} for the {role} {spec.name!r}, which is {spec}"
    return ""


def _may_be(spec: TensorSpec, shape: Sequence[int]) -> bool:
    """Tell whether a tensor of this spec can be what a server calls `shape`, where -1 is any size."""
    same = len(shape) == len(spec.shape)
    return same and all(
        ours == theirs or ours < 0 or theirs < 0
        for ours, theirs in zip(spec.shape, shape, strict=False)
    )


def _none(
    server: Endpoint, said: str, bundle: Bundle, wanted: Sequence[str], found: Sequence[_Found]
) -> UnknownNameError | MismatchError:
    """Return the error of a server that serves nothing of a bundle that can be used."""
    export = f"Export them, with: splitpoint export triton {bundle.path} --out DIR, and let it serve DIR."
    if not found:
        more = ", …" if len(wanted) > _SHOWN else ""
        return UnknownNameError(
            f"the server at {server} ({said}) serves no model of {bundle.name!r}. Wanted are some of "
            f"{', '.join(wanted[:_SHOWN])}{more}. {export}"
        )
    return MismatchError(
        f"the server at {server} ({said}) has models of {bundle.name!r}, and not those of this bundle "
        f"({bundle.digest[:12]}…): {'; '.join(_summed(each.wrong for each in found))}. {export}"
    )


def _summed(wrong: Iterable[str]) -> tuple[str, ...]:
    """Return each of some sentences once, with how many models it is true of."""
    return tuple(f"{count} {text}" for text, count in Counter(wrong).items())
