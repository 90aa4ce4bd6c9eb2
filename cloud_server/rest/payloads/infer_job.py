"""An inference request by REST as a job of the engine: it is unpacked, and its answer packed, by a worker."""

from collections.abc import Mapping, Sequence

from cloud_server.rest.payloads import infer_document
from cloud_server.rest.payloads.encodings import check_encoding, chosen_encoding, packer, unpack
from cloud_server.rest.payloads.infer_document import InferRequest
from protos.errors import UsageError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.serving.answers import Job
from protos.tensors import Buffer

HEADER_LENGTH = "inference-header-content-length"
_AT_ONCE_BYTES = 64 << 10


class RestJob(Job):
    """One request: `headers` are its own, `headers_out` those of its answer, once there is one.

    Raises UsageError for headers that have no meaning. What the body unfolds to is at most `max_bytes`.
    """

    def __init__(
        self,
        body: bytes,
        headers: Mapping[str, str],
        model: str,
        version: str,
        max_bytes: int,
        connection: str = "",
    ) -> None:
        super().__init__(body, self._packed, connection)
        self._body = memoryview(body)
        self._model, self._version, self._max_bytes = model, version, max_bytes
        self._packing = check_encoding(headers.get("content-encoding", ""))
        self._answer_packing = chosen_encoding(headers.get("accept-encoding", ""))
        self._json_bytes = _length(headers.get(HEADER_LENGTH))
        self._views: list[memoryview] | None = None
        self._unfolded_bytes = 0
        self._asked = InferRequest(inputs=[])
        self.headers_out: dict[str, str] = {}

    @property
    def unfolded_bytes(self) -> int:
        """Bytes beyond those that came; what unfolds to too much counts as the most that may."""
        return self._unfolded_bytes

    @property
    def unpacks_aside(self) -> bool:
        """True for bodies that have, or may unfold to, over 64 KiB."""
        return bool(self._packing) or self.size_bytes > _AT_ONCE_BYTES

    @property
    def model_name(self) -> str:
        """The model in the route: nothing is unpacked for it."""
        return self._model

    def identify(self) -> None:
        """Do nothing: an answer of HTTP needs no name of its request."""

    def decode(self) -> tuple[ModelInferRequest, list[memoryview]]:
        """Return the header and the tensors' bytes; raises TensorError or TooLargeError."""
        if self._views is None:
            body = self._unpacked()
            self._asked, self.header, self._views = infer_document.read_request(
                body, self._json_bytes, self._model, self._version
            )
        return self.header, self._views

    def _unpacked(self) -> memoryview:
        size_bytes = self._max_bytes if self._packing else self.size_bytes
        try:
            body = unpack(self._body, self._packing, self._max_bytes)
            size_bytes = len(body)
        finally:
            self._unfolded_bytes = max(0, size_bytes - self.size_bytes)
        return body

    def _packed(self, answer: ModelInferResponse, raw: Sequence[Buffer]) -> bytes:
        document, behind = infer_document.write_answer(answer, raw, self._asked)
        if behind:
            self.headers_out["content-type"] = "application/octet-stream"
            self.headers_out[HEADER_LENGTH] = str(len(document))
        else:
            self.headers_out["content-type"] = "application/json"
        self.headers_out["vary"] = "accept-encoding"
        if self._answer_packing:
            self.headers_out["content-encoding"] = self._answer_packing
        return packer(self._answer_packing)(b"".join([document, *behind]))


def _length(found: str | None) -> int | None:
    if found is None:
        return None
    if not (found.isascii() and found.isdigit() and len(found) < 20):
        raise UsageError(
            f"Inference-Header-Content-Length is {found[:64]!r}. Send the bytes of the JSON as a number."
        )
    return int(found)
