"""Shared memory, which Triton's clients ask about: there is none here, and registering some is refused.

Their messages are not in our proto: an empty answer is all that is ever said.
"""

from functools import partial

import grpc

from protos.serving.handlers import Handler
from protos.serving.refusals import Context

_KINDS = {"SystemSharedMemory": "system", "CudaSharedMemory": "CUDA"}
_ANSWER = b""
"""Of a status: no regions; of an unregistration: done, as there is nothing left to undo."""


def shared_memory_methods() -> dict[str, Handler]:
    """Return the methods of Triton's shared memory extensions: none is registered, and none can be."""
    found: dict[str, Handler] = {}
    for method, kind in _KINDS.items():
        for what in ("Status", "Unregister"):
            found[f"{method}{what}"] = _handler(_nothing)
        found[f"{method}Register"] = _handler(partial(_refused, kind))
    return found


def _handler(method: object) -> Handler:
    return grpc.unary_unary_rpc_method_handler(method, None, None)  # type: ignore[arg-type]


async def _nothing(_request: bytes, _context: Context) -> bytes:
    return _ANSWER


async def _refused(kind: str, _request: bytes, context: Context) -> None:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"failed to register {kind} shared memory region: this server does not support shared memory. "
        "Send tensors in raw_input_contents.",
    )
