"""The seam between the protocol and an answerer: a request becomes a job, and the answerer its answer."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from protos.errors import MismatchError, TensorError, UnknownNameError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_BUNDLE_DIGEST
from protos.serving.callers import CALLER
from protos.tensors import Buffer, TensorSpec
from protos.wire.framing import decode_request

Encode = Callable[[ModelInferResponse, Sequence[Buffer]], bytes]

Later: TypeAlias = Callable[[], Awaitable[bytes]]
"""A function to call and await, for an answer that is computed in several parts."""

ServedKey: TypeAlias = tuple[str, str]
"""The name and the version of a model that is served."""

NO_MODEL: ServedKey = ("", "")
"""Of a request whose model was not found, or not looked for."""

_OUTPUT_PARAMETERS_REFUSED = ("classification", "shared_memory_region")


class Spent(NamedTuple):
    """Where the nanoseconds of one answered request went, and the rows that it brought."""

    queue_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int
    rows: int

    @property
    def execution(self) -> tuple[int, int, int, int]:
        """Rows, and the nanoseconds of decode, compute and encode, where this was all that ran."""
        return self.rows, self.decode_ns, self.compute_ns, self.encode_ns


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model as clients see it."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    version: str = "1"
    """The version that answers: an integer, as Triton's clients want it."""
    versions: tuple[str, ...] = ("1",)
    """All that there are of this name, the newest first."""
    platform: str = "onnxruntime_onnx"

    @property
    def bundle_name(self) -> str:
        """The bundle that it is of: a whole model's is called like it."""
        return self.name


class Catalogue(Protocol):
    """The models of a server."""

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a model; UnknownNameError says which there are."""


def _unheard(_job: "Job") -> None:
    """Do nothing."""


class Job:
    """One request between its arrival and its answer. `encode` makes bytes of the answer.

    `caller` is who the server's gate found to ask, else the `connection`; `remaining_s`: how long it waits
    for the answer, None: for ever. `served` is the model that answers it, once that is found, and `spent`
    where the time went, once it has its answer.
    """

    def __init__(
        self, data: bytes, encode: Encode, connection: str = "", remaining_s: float | None = None
    ) -> None:
        self.received_ns = time.perf_counter_ns()
        self.expires_ns = math.inf
        """The moment of `time.perf_counter_ns` from which on nobody waits for the answer."""
        if remaining_s is not None:
            self.expires_ns = self.received_ns + 1e9 * remaining_s
        self.caller = CALLER.get() or connection
        self.served = NO_MODEL
        self.spent: Spent | None = None
        self.encode = encode
        self.on_unpacked: Callable[[Job], object] = _unheard
        """Hears in the event loop that a job which `unpacks_aside` is unpacked, or could not be."""
        self.header = ModelInferRequest()
        self._data = data
        self._raw: list[memoryview] | None = None

    @property
    def size_bytes(self) -> int:
        """How many bytes came."""
        return len(self._data)

    @property
    def unfolded_bytes(self) -> int:
        """Bytes that a packed message has unfolded to, beyond those that came; known once it is decoded."""
        return 0

    @property
    def unpacks_aside(self) -> bool:
        """Whether `decode` takes too long for an event loop."""
        return False

    @property
    def model_name(self) -> str:
        """The model that is asked for; raises TensorError on broken bytes."""
        return self.decode()[0].model_name

    def identify(self) -> None:
        """Read from the bytes what a refusal has to name, the request's id, if they can be read."""
        with contextlib.suppress(TensorError):
            self.decode()

    def decode(self) -> tuple[ModelInferRequest, list[memoryview]]:
        """Return the header and views of the tensors' bytes; raises TensorError on broken bytes."""
        if self._raw is None:
            self.header, self._raw = decode_request(self._data)
        return self.header, self._raw


class Answerer(Protocol):
    """Computes answers. Used from one event loop."""

    def submit(self, job: Job) -> asyncio.Future[bytes | Later]:
        """Begin a job; the future brings its answer, or what to await for it, or SplitpointError."""


async def answer(answerer: Answerer, job: Job) -> bytes:
    """Return the bytes of a job's answer; raises SplitpointError, the caller's or ours."""
    found = await answerer.submit(job)
    return found if isinstance(found, bytes) else await found()


def check_version(model: ServedModel, version: str) -> None:
    """Raise unless a caller asks for a version that exists, or for none."""
    if version and version not in model.versions:
        raise UnknownNameError(
            f"model {model.name!r} has no version {version!r}. It has: {', '.join(model.versions)}. "
            "Ask for one of these, or leave it empty for the newest."
        )


def check_digest(header: ModelInferRequest, bundle: str, digest: str) -> None:
    """Raise MismatchError if a request names another digest of the bundle than ours."""
    if PARAM_BUNDLE_DIGEST not in header.parameters:
        return
    found = header.parameters[PARAM_BUNDLE_DIGEST].string_param
    if found and found != digest:
        raise MismatchError(
            f"the edge's bundle {bundle!r} has the digest {found[:12]}…, the server's "
            f"{digest[:12]}…. Give both the same bundle: fetch it from this server, or put the edge's "
            "among the server's bundles."
        )


def requested_outputs(header: ModelInferRequest, model: ServedModel) -> Sequence[TensorSpec]:
    """Return the outputs that a request asks for: those it names, or all. Raises TensorError."""
    if not header.outputs:
        return model.outputs
    known = {spec.name: spec for spec in model.outputs}
    for output in header.outputs:
        if output.name not in known:
            raise TensorError(
                f"model {model.name!r} has no output {output.name!r}. It has: {', '.join(known)}. "
                "Ask for these, or for none to get all."
            )
        for key in _OUTPUT_PARAMETERS_REFUSED:
            if key in output.parameters:
                raise TensorError(
                    f"output {output.name!r} asks for {key}, which this server does not offer. "
                    "Ask for the plain tensor."
                )
    return [known[output.name] for output in header.outputs]
