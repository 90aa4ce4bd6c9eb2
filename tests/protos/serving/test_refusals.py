"""Refusals: what a caller is told of an error, whatever the error quotes."""

import logging

import grpc
import pytest

from protos.errors import BundleError, FaultError, UnknownNameError
from protos.serving import refusals
from protos.serving.bounded_log import LINES_AT_ONCE, BoundedLog
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


@pytest.mark.parametrize("error", [FaultError("a."), BundleError("b."), ValueError("c")])
def test_floods_of_our_own_failures_fill_no_log(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = BoundedLog(logging.getLogger(refusals.__name__), logging.ERROR, lambda: 0)
    monkeypatch.setattr(refusals, "_log", log)
    codes = {refusal_of(error)[0] for _ in range(99)}
    assert len(codes) == 1
    assert len(caplog.records) == LINES_AT_ONCE
    assert str(error) in caplog.text


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("/srv/models/a.onnx is damaged.", "a.onnx is damaged."),
        ("[/srv/models/a.onnx] `/srv/b.bin` c:/srv/c.bin", "[a.onnx] `b.bin` c:c.bin"),
        ("copy '/srv/m/a.bin', or say --key=/etc/x.", "copy 'a.bin', or say --key=x."),
        ("the layers conv/1 and /docs stay, and so does http://a/b/c.", None),
        (
            "splitpoint calibrate /srv/a-b/digits --data DIR",
            "splitpoint calibrate digits --data DIR",
        ),
    ],
)
def test_file_is_told_by_its_name_and_the_log_says_where_it_lies(
    sentence: str, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal_of(BundleError(sentence))[1] == (told or sentence)
    assert sentence in caplog.text
    assert refusal_of(UnknownNameError(sentence))[1] == sentence
