"""`splitpoint sign`."""

from typing import Annotated

from partitioner.cli.flags.arguments import BundleArgument
from partitioner.cli.flags.keys import Keys, PassphraseFile
from partitioner.settings.panels import CHOICE
from partitioner.terminal.console import JsonFlag, print_json, screen
from partitioner.terminal.flags import flag


def sign(
    bundle: BundleArgument,
    key: Keys,
    release: Annotated[
        int | None,
        flag(
            "The release number; devices never go back to a lower one unasked.",
            "N",
            panel=CHOICE,
            default="one more than the last signature's, 1 without one",
            min=1,
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign a bundle as a new release: every file that is run, by size and SHA-256, and the bundle's name.

    Sign last, after calibrate and exits train: what changes later has to be signed again. The signature is
    signature.json in the bundle's folder, and goes along with every copy. Profiles are not signed, as
    machines measure them later; nothing but speed rests on them.

    Example: splitpoint sign resnet50 --key release-2026
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.cli.flags.keys import read_keys
    from partitioner.common.units import plural
    from partitioner.signatures.signer import sign_bundle

    keys = read_keys(key, passphrase_file)
    made = sign_bundle(Bundle.load(bundle), keys, release)
    statement = made.statement
    if as_json:
        print_json(
            {
                "bundle": statement.model,
                "release": made.release,
                "key_ids": list(made.key_ids),
                "digest": statement.digest,
                "signed_at": statement.signed_at,
                "files": len(statement.files),
            }
        )
        return
    screen.print(
        f"{statement.model} is release {made.release} now: {plural(len(statement.files), 'file')}, signed by "
        f"{', '.join(made.key_ids)}"
    )
