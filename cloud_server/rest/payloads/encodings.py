"""Content-Encoding of requests and answers: gzip and deflate, bounded where they are unpacked."""

import zlib
from collections.abc import Callable

from isal import igzip_lib, isal_zlib

from protos.errors import TensorError, TooLargeError, UsageError, plural

ENCODINGS = ("gzip", "deflate")

_LEVEL = 1
_DAMAGE: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""HTTP's deflate is the zlib format (RFC 9110, section 8.4.1.2)."""


class UnknownEncodingError(UsageError):
    """A Content-Encoding that is none of ENCODINGS."""


def check_encoding(named: str) -> str:
    """Return the encoding that a request names, lower case, or an empty string for none.

    Raises UnknownEncodingError.
    """
    encoding = named.strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding not in ENCODINGS:
        raise UnknownEncodingError(
            f"this server does not unpack the Content-Encoding {encoding[:64]!r}. Send gzip, deflate, or "
            "none."
        )
    return encoding


def chosen_encoding(accepted: str) -> str:
    """Return the encoding for an answer by an Accept-Encoding header; an empty string for none.

    The one with the highest weight, gzip before deflate where they are alike (RFC 9110, section 12.5.3).
    """
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, rest = part.partition(";")
        weights[name.strip()] = _weight(rest)
    others = weights.get("*", 0.0)
    best = max(ENCODINGS, key=lambda name: weights.get(name, others))
    return best if weights.get(best, others) > 0 else ""


def unpack(data: memoryview, encoding: str, max_bytes: int) -> memoryview:
    """Return what `data` unfolds to; never makes more than `max_bytes` + 1 of it.

    Raises TooLargeError where there is more, TensorError where it is broken, cut short or followed by more.
    """
    if not encoding:
        return data
    unpacker = isal_zlib.decompressobj(wbits=_WBITS[encoding])
    try:
        found = unpacker.decompress(data, max_length=max_bytes + 1)
    except _DAMAGE as error:
        raise _broken(encoding, str(error)) from error
    if len(found) > max_bytes:
        raise TooLargeError(
            f"the body unfolds to more than the {plural(max_bytes, 'byte')} that this server takes. Send "
            "less at a time, or start it with a larger --max-message."
        )
    if not unpacker.eof:
        raise _broken(encoding, "it ends early")
    if unpacker.unused_data:
        raise _broken(encoding, "more follows its end")
    return memoryview(found)


def packer(encoding: str) -> Callable[[bytes], bytes]:
    """Return the function that packs an answer by `encoding`; itself for none."""
    if not encoding:
        return lambda data: data
    return lambda data: isal_zlib.compress(data, _LEVEL, _WBITS[encoding])


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _broken(encoding: str, why: str) -> TensorError:
    return TensorError(f"the body is no {encoding}: {why}. Send what its Content-Encoding says.")
