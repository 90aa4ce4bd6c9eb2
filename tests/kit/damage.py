"""Bytes that were right once: strategies of hypothesis that damage messages, files and documents."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st

_NUMBERS = [
    *(struct.pack("<q", number) for number in (-1, 0, 1, 1 << 31, (1 << 62) - 1, -(1 << 63))),
    *(bytes([byte]) * 4 for byte in (0x00, 0x7F, 0x80, 0xFF)),
    b"\xff" * 9 + b"\x01",  # the largest varint
]
_PLACE = st.floats(0, 1, exclude_max=True)
_EDIT = st.one_of(
    st.tuples(st.just("flip"), _PLACE, st.integers(0, 7)),
    st.tuples(st.just("cut"), _PLACE, _PLACE),
    st.tuples(st.just("end"), _PLACE, st.none()),
    st.tuples(st.just("twice"), _PLACE, _PLACE),
    st.tuples(st.just("write"), _PLACE, st.sampled_from(_NUMBERS)),
    st.tuples(st.just("insert"), _PLACE, st.binary(min_size=1, max_size=16)),
)
HOSTILE: list[Any] = [
    None, True, -1, 0, 1 << 63, -(1 << 70), 10**400, 1e308, -0.0, float("nan"), float("inf"), "", "\0", "🙂",
    "../../etc/passwd", "x" * 70_000, [], {}, [[]], [None], {"": None}, ["x"] * 3000,
]  # fmt: skip
"""What no program expects in a document."""


def edited(data: bytes, edit: tuple[str, float, Any]) -> bytes:
    """Damage `data` in one place, which is a share of its length."""
    how, place, what = edit
    at = int(place * len(data))
    if how == "flip" and data:
        return data[:at] + bytes([data[at] ^ (1 << what)]) + data[at + 1 :]
    if how == "cut":
        return data[:at] + data[at + 1 + int(what * 64) :]
    if how == "end":
        return data[:at]
    if how == "twice":
        return data[:at] + data[at : at + 1 + int(what * 256)] + data[at:]
    if how == "write":
        return data[:at] + what + data[at + len(what) :]
    return data[:at] + (what if how == "insert" else b"") + data[at:]


@st.composite
def damaged(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of `samples` with one to five edits, or seldom any bytes at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=64))
    data = draw(st.sampled_from(samples))
    for edit in draw(st.lists(_EDIT, min_size=1, max_size=5)):
        data = edited(data, edit)
    return data


@st.composite
def damaged_documents(draw: st.DrawFn, samples: Sequence[Any]) -> bytes:
    """The JSON of one of `samples` with parts replaced or left out, and perhaps its text damaged."""
    document = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 3))):
        document = draw(_replaced(document))
    text = json.dumps(document).encode()
    return draw(damaged([text])) if draw(st.integers(0, 9)) == 0 else text


@st.composite
def _replaced(draw: st.DrawFn, document: Any, depth: int = 0) -> Any:
    if (
        not isinstance(document, dict | list)
        or not document
        or draw(st.integers(0, 3 + depth)) == 0
    ):
        return draw(st.sampled_from(HOSTILE))
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = draw(st.sampled_from(keys))
    made: Any = document.copy()
    if draw(st.integers(0, 9)) == 0:
        del made[key]
    else:
        made[key] = draw(_replaced(document[key], depth + 1))
    return made
