"""Flags about keys: whose signatures count, and what signs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import SECURITY
from partitioner.terminal.console import remark
from partitioner.terminal.flags import flag
from protos.errors import FileError, UsageError

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.signatures.keys import SigningKey

TrustedKeys = Annotated[
    Path | None,
    flag(
        "A folder with the *.pub files of those whose signatures count.",
        "FOLDER",
        panel=SECURITY,
        default="none: signatures are shown, not checked",
    ),
]
RequireSignature = Annotated[
    bool,
    flag(
        "Refuse a bundle that none of them has signed.", None, "--require-signature", panel=SECURITY
    ),
]
Keys = Annotated[
    list[Path],
    flag(
        "A private key of splitpoint keygen; give it again for one more signature.",
        "FILE",
        "--key",
        panel=SECURITY,
    ),
]
PassphraseFile = Annotated[
    Path | None,
    flag(
        "Its passphrase: the first line of this file, which others may not read.",
        "FILE",
        panel=SECURITY,
        default="asked for at a terminal, where there is one",
    ),
]


def read_passphrase(path: Path) -> str:
    """Return the first line of a file that its owner alone may read. Raises FileError or UsageError."""
    from partitioner.common.files import read_private

    try:
        lines = read_private(path, "passphrase").decode().splitlines()
    except UnicodeDecodeError as error:
        raise FileError(f"{path} holds no passphrase: it is no text.") from error
    if not lines or not lines[0]:
        raise UsageError(f"{path} holds no passphrase: its first line is empty.")
    return lines[0]


def read_keys(paths: list[Path], passphrase_file: Path | None) -> "list[SigningKey]":
    """Read private keys; a passphrase that is missing is asked for at a terminal.

    Raises FileError, and UsageError where a passphrase is missing or wrong.
    """
    given = read_passphrase(passphrase_file) if passphrase_file else None
    return [_read_key(path, given) for path in paths]


def ask_passphrase(what: str, *, twice: bool = False) -> str:
    """Ask for a passphrase; UsageError without a terminal to ask at."""
    import sys

    import typer

    if not sys.stdin.isatty():
        raise UsageError(
            f"there is no terminal to ask for {what}. Give it with `passphrase_file` FILE."
        )
    said: str = typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    return said


def _read_key(path: Path, given: str | None) -> "SigningKey":
    import sys

    from partitioner.signatures.keys import read_signing_key

    try:
        return read_signing_key(path, given)
    except UsageError:
        if given is not None or not sys.stdin.isatty():
            raise
        return read_signing_key(path, ask_passphrase(f"the passphrase of {path}"))


def remind_to_sign(bundle: "Bundle") -> None:
    """Say that a bundle whose signature was just overtaken has to be signed again."""
    if bundle.signature_documents:
        remark(
            f"Its signature holds no longer. Sign it again: splitpoint sign {bundle.path} --key FILE."
        )
