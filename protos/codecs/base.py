"""The interface of a codec: it encodes one tensor of the frontier, and decodes it."""

from collections.abc import Sequence
from typing import Protocol

from protos.tensors import Array, Buffer, TensorSpec


class Codec(Protocol):
    """Turns one tensor into bytes and back. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name on the wire and in plans (`raw`, `jpeg-90`); `get_codec(name)` finds it again."""

    def accepts(self, spec: TensorSpec) -> bool:
        """Tell whether tensors of this kind can be encoded; those that cannot travel raw."""

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return about how many bytes one sample takes, before there is one.

        Exact for raw, half and int8, the most that it can be for q2 to q6, a guess for images.
        """

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return the bytes of `array`, whose spec `accepts` has approved. May be a view of its memory.

        Raises TensorError, which names `tensor`, for values that it cannot keep: they travel raw.
        """

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the tensor of exactly `dtype` and `shape` that is in `data`; may be a view of it.

        Raises TensorError, which names `tensor`, before allocating anything that `data` lies about.
        """
