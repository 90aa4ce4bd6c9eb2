"""`splitpoint keygen`."""

from pathlib import Path
from typing import Annotated

from partitioner.cli.flags.keys import PassphraseFile
from partitioner.settings.panels import OUTPUT, SECURITY
from partitioner.terminal.console import JsonFlag, print_json, screen
from partitioner.terminal.flags import flag


def keygen(
    out: Annotated[
        Path, flag("The private key's file; the public one is FILE.pub.", "FILE", panel=OUTPUT)
    ],
    passphrase: Annotated[
        bool,
        flag("Ask for a passphrase that the key needs then.", None, "--passphrase", panel=SECURITY),
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a pair of Ed25519 keys: FILE signs bundles, FILE.pub is what servers and devices check them with.

    FILE is for its owner alone (mode 600) and belongs where bundles are made, not on servers or devices; a
    copy of FILE.pub goes into their folder of trusted keys.

    Example: splitpoint keygen --out release-2026
    """
    from partitioner.cli.flags.keys import ask_passphrase, read_passphrase
    from partitioner.common.files import check_target
    from partitioner.signatures.keys import new_key, save_key

    check_target("`out`", out)
    said = read_passphrase(passphrase_file) if passphrase_file else None
    if passphrase and said is None:
        said = ask_passphrase("a passphrase for the key", twice=True)
    made = new_key()
    public = save_key(out, made, said)
    if as_json:
        print_json({"key_id": made.public.id, "private": str(out), "public": str(public)})
    else:
        screen.print(f"key {made.public.id}: {out} signs, {public} checks")
