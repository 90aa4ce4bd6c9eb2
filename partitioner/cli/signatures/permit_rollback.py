"""`splitpoint permit-rollback`."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.flags.keys import Keys, PassphraseFile
from partitioner.settings.panels import CHOICE, OUTPUT
from partitioner.terminal.console import JsonFlag, print_json, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError


def permit_rollback(
    bundle: Annotated[
        str,
        typer.Argument(
            help="The bundle's folder, or its name.", metavar="BUNDLE", show_default=False
        ),
    ],
    to_release: Annotated[int, flag("The release to run again.", "N", panel=CHOICE, min=1)],
    key: Keys,
    out: Annotated[
        Path | None,
        flag(
            "The permission's file: rollback.json in that release's folder.",
            "FILE",
            panel=OUTPUT,
            default="there, where the folder is given",
        ),
    ] = None,
    from_release: Annotated[
        int | None,
        flag(
            "The highest release that a device may have run.",
            "N",
            panel=CHOICE,
            default="the one after --to-release",
            min=2,
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Permit devices that have run a later release to go back to this one.

    Put it as rollback.json into the folder of the bundle that they go back to: fetch brings it along. It is
    of no use to a device once that has run a release above --from-release, so that it needs no date to end.

    Example: splitpoint permit-rollback bundles/net --to-release 3 --key release
    """
    from partitioner.cli.flags.keys import read_keys
    from partitioner.common.files import check_target
    from partitioner.signatures.envelope import Envelope
    from partitioner.signatures.rollback import ROLLBACK_TYPE, made_rollback
    from partitioner.signatures.signer import write_envelope

    name, out = _place(bundle, out)
    check_target("`out`", out)
    if out.is_symlink():
        raise UsageError(f"{out} is a link, which a signed bundle may not hold. Give a file.")
    permission = made_rollback(name, to_release, from_release)
    envelope = Envelope.seal(ROLLBACK_TYPE, permission.to_bytes(), read_keys(key, passphrase_file))
    write_envelope(out, envelope)
    if as_json:
        print_json({**permission.model_dump(), "key_ids": list(envelope.key_ids), "path": str(out)})
        return
    screen.print(
        f"{out}: devices that have run release {permission.from_release} of {name} at most may run release "
        f"{to_release} again, says {', '.join(envelope.key_ids)}"
    )


def _place(bundle: str, out: Path | None) -> tuple[str, Path]:
    """Return the name of a bundle that is given by its name or its folder, and the permission's file."""
    from partitioner.bundle.manifest import MANIFEST_FILE, ROLLBACK_FILE, read_manifest

    folder = Path(bundle)
    if (folder / MANIFEST_FILE).is_file():
        return read_manifest(folder).name, out or folder / ROLLBACK_FILE
    if out is None:
        raise UsageError(
            f"{bundle} is no bundle's folder, so that it is not known where the permission goes. Give the "
            f"folder of the release that devices go back to, or a name and --out FILE."
        )
    return bundle, out
