"""Tokens: as random as they are said to be, and never shown."""

import re

import pytest

from cloud_server.security.tokens import PATTERN, new_token, read_token


def test_token_has_a_public_key_and_256_random_bits() -> None:
    tokens = [new_token() for _ in range(200)]
    found = [re.fullmatch(r"spt_([0-9a-f]{16})_([0-9a-f]{64})", token.text) for token in tokens]
    secrets = [match[2] for match in found if match]
    assert len(set(secrets)) == 200
    assert [match[1] for match in found if match] == [token.key for token in tokens]
    # Every one of the 256 bits is 0 in some and 1 in others; by chance one fails once in 2**190.
    every, some = (1 << 256) - 1, 0
    for secret in secrets:
        every, some = every & int(secret, 16), some | int(secret, 16)
    assert (every, some) == (0, (1 << 256) - 1)


def test_only_the_token_itself_fits_its_digest() -> None:
    token = new_token()
    digest = token.digest
    assert token.fits(digest)
    for place in range(len(token.text)):
        flipped = "0" if token.text[place] != "0" else "1"
        other = read_token(f"{token.text[:place]}{flipped}{token.text[place + 1 :]}")
        assert other is None or not other.fits(digest)


@pytest.mark.parametrize("text", ["", "spt_", "spt_00_11", "x" * 10_000, "spt_" + "é" * 81])
def test_what_is_no_token_is_told(text: str) -> None:
    assert read_token(text) is None


def test_token_is_not_shown() -> None:
    token = new_token()
    assert token.text not in repr(token)
    assert token.text[-64:] not in repr(token)
    assert PATTERN.search(f"a log with {token.text} in it")
