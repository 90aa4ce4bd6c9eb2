"""Whose signatures on bundles count: options that the client and the server have alike."""

from pathlib import Path

from partitioner.settings.declaration import option
from partitioner.settings.kinds import FOLDER, SWITCH
from partitioner.settings.panels import SECURITY


def trusted_keys_option() -> str | Path | None:
    """Declare which keys count."""
    return option(
        None,
        "A folder with the *.pub files of those whose signed bundles run here; read at every load.",
        FOLDER,
        none="none",
        shown="none: signatures are not looked at",
        panel=SECURITY,
    )


def require_signature_option() -> bool:
    """Declare whether a bundle has to be signed."""
    return option(
        False, "Run no bundle that none of the trusted keys has signed.", SWITCH, panel=SECURITY
    )
