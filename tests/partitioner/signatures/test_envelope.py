"""The format of signatures: golden bytes, an independent verifier, and what is no envelope."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from partitioner.signatures.envelope import Envelope, authenticated_bytes
from partitioner.signatures.keys import KeyRing, SigningKey, new_key

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
RING = KeyRing({KEY.public.id: KEY.public})
GOLDEN = b"""{
 "payload": "eyJhIjoxfQ==",
 "payloadType": "text/x",
 "signatures": [
  {
   "algorithm": "ed25519",
   "keyid": "56475aa75463474c",
   "sig": "SIGNATURE"
  }
 ]
}
"""


def test_written_envelope_is_these_bytes() -> None:
    # RFC 8032 signatures are deterministic; what is signed is spelled out by hand.
    signature = KEY.key.sign(b'DSSEv1 6 text/x 7 {"a":1}')
    wanted = GOLDEN.replace(b"SIGNATURE", b64encode(signature))
    assert Envelope.seal("text/x", b'{"a":1}', [KEY]).to_bytes() == wanted
    read = Envelope.parse(wanted)
    assert (read.payload_type, read.payload, read.signers(RING)) == (
        "text/x",
        b'{"a":1}',
        (KEY.public.id,),
    )


def test_example_of_the_specification_is_encoded_as_it_says() -> None:
    assert authenticated_bytes("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(min_size=1), st.binary())
def test_signature_holds_by_the_primitive_alone(kind: str, payload: bytes) -> None:
    document = json.loads(Envelope.seal(kind, payload, [KEY]).to_bytes())
    name = document["payloadType"].encode()
    body = b64decode(document["payload"])
    signed = (
        b"DSSEv1 "
        + str(len(name)).encode()
        + b" "
        + name
        + b" "
        + str(len(body)).encode()
        + b" "
        + body
    )
    signature = b64decode(document["signatures"][0]["sig"])
    KEY.key.public_key().verify(signature, signed)
    with pytest.raises(InvalidSignature):
        KEY.key.public_key().verify(signature, signed + b"\0")


@given(st.text(max_size=9), st.binary(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_no_two_payloads_are_signed_as_the_same_bytes(
    kind: str, payload: bytes, other_kind: str, other: bytes
) -> None:
    same = (kind, payload) == (other_kind, other)
    signed_alike = authenticated_bytes(kind, payload) == authenticated_bytes(other_kind, other)
    assert signed_alike == same


@given(st.data())
def test_any_changed_byte_of_an_envelope_is_found(data: st.DataObject) -> None:
    written = Envelope.seal("text/x", b'{"a":1}', [KEY]).to_bytes()
    at = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != written[at]))
    changed = written[:at] + bytes([byte]) + written[at + 1 :]
    try:
        believed = bool(Envelope.parse(changed).signers(RING))
    except ValueError:
        believed = False
    assert not believed


@given(st.integers(0, 400))
def test_truncated_envelope_is_none(length: int) -> None:
    written = Envelope.seal("text/x", b"payload", [KEY]).to_bytes()
    with pytest.raises(ValueError, match="cut short or no envelope|was changed"):
        Envelope.parse(written[: min(length, len(written) - 1)])


def document(**changes: Any) -> bytes:
    found = json.loads(Envelope.seal("text/x", b"payload", [KEY]).to_bytes())
    found["signatures"][0].update(changes)
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()


def test_unknown_algorithm_is_named() -> None:
    with pytest.raises(ValueError, match="algorithm 'ed448', and this splitpoint knows ed25519"):
        Envelope.parse(document(algorithm="ed448"))


def test_two_signatures_of_one_key_are_refused() -> None:
    found = json.loads(document())
    found["signatures"] *= 2
    with pytest.raises(ValueError, match=f"two signatures of the key {KEY.public.id}"):
        Envelope.parse((json.dumps(found, indent=1, sort_keys=True) + "\n").encode())


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 10_000, bytes(5 << 20)]
)
def test_what_is_no_envelope_is_said_in_words(content: bytes) -> None:
    with pytest.raises(ValueError, match="no envelope|are allowed"):
        Envelope.parse(content)


def test_envelope_has_one_spelling() -> None:
    written = document()
    loose = json.dumps(json.loads(written)).encode()
    with pytest.raises(ValueError, match="not spelled as envelopes are"):
        Envelope.parse(loose)


@pytest.mark.parametrize("field", ["payload", "sig"])
def test_bits_that_no_byte_is_made_of_are_zero(field: str) -> None:
    written = Envelope.seal("text/x", b'{"a":1}', [KEY]).to_bytes()
    held = json.loads(written)
    text = held["signatures"][0]["sig"] if field == "sig" else held["payload"]
    last = len(text.rstrip("=")) - 1
    other = text[:last] + chr(ord(text[last]) + 1) + text[last + 1 :]
    assert b64decode(other) == b64decode(text)
    with pytest.raises(ValueError, match="not spelled as envelopes are"):
        Envelope.parse(written.replace(text.encode(), other.encode()))


def test_several_keys_sign_and_each_is_enough() -> None:
    other = new_key()
    read = Envelope.parse(Envelope.seal("text/x", b"payload", [KEY, other]).to_bytes())
    assert read.signers(RING) == (KEY.public.id,)
    assert read.signers(KeyRing({other.public.id: other.public})) == (other.public.id,)
    assert read.signers(KeyRing({})) == ()


def test_signature_in_the_name_of_a_trusted_key_is_a_forgery() -> None:
    written = Envelope.seal("text/x", b"payload", [new_key()]).to_bytes()
    keyid = json.loads(written)["signatures"][0]["keyid"].encode()
    forged = Envelope.parse(written.replace(keyid, KEY.public.id.encode()))
    with pytest.raises(ValueError, match=f"not that of the key {KEY.public.id}"):
        forged.signers(RING)
