"""Tokens of devices: random, known to scanners for leaked secrets, and kept as a digest alone.

    spt_<key: 16 hex digits>_<secret: 64 hex digits>

The key is public: it finds the record of a token, and names it in lists and logs. The secret has 256 random
bits, which nobody guesses however fast a digest is computed. So SHA-256 is enough, as NIST SP 800-63B
(5.1.2.2) says of look-up secrets of 112 bits and more; a slow password hash would only let strangers keep
the server busy.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "spt_"
PATTERN = re.compile(rf"{PREFIX}([0-9a-f]{{16}})_[0-9a-f]{{64}}")
"""For scanners of secrets, too."""


@dataclass(frozen=True)
class Token:
    """A token as its device holds it; `repr` tells no secret."""

    key: str
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """The SHA-256 of the text in hex: what a server keeps."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fits(self, digest: str) -> bool:
        """Tell, in a time that does not depend on the digests, whether this is the token of `digest`."""
        return hmac.compare_digest(self.digest, digest)


def new_token() -> Token:
    """Return a token that nobody has."""
    key = secrets.token_hex(8)
    return Token(key, f"{PREFIX}{key}_{secrets.token_hex(32)}")


def read_token(text: str) -> Token | None:
    """Return the token that is written so; None when it is none."""
    found = PATTERN.fullmatch(text)
    return Token(found[1], text) if found else None
