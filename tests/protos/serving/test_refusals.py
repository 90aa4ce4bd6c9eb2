"""Refusals: what a caller is told of an error, whatever the error quotes."""

import grpc
import pytest

from protos.errors import UnknownNameError
from protos.serving.refusals import refusal_of

CARRIED_BYTES = 8 << 10
"""What a client of gRPC takes of headers where nobody says otherwise."""


def written(sentence: str) -> str:
    """As gRPC writes it into a header (PROTOCOL-HTTP2, Percent-Encoded)."""
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}"
        for byte in sentence.encode()
    )


@pytest.mark.parametrize("letter", ["x", "é", "🙂", "%", "\n"])
@pytest.mark.parametrize("count", [1, 249, 600, 5_000, 100_000])
def test_refusal_fits_the_headers_whatever_it_quotes(letter: str, count: int) -> None:
    error = UnknownNameError(f"there is no model {letter * count}. It has: digits.")
    code, sentence = refusal_of(error)
    assert code is grpc.StatusCode.NOT_FOUND
    assert len(written(sentence)) < CARRIED_BYTES
    assert sentence.startswith("there is no model ")
    assert sentence.endswith(" It has: digits.")


def test_refusal_that_fits_is_told_whole() -> None:
    text = (
        f"there is no model 'a'. It has: {', '.join(f'model-{number}' for number in range(400))}."
    )
    assert refusal_of(UnknownNameError(text))[1] == text
