"""`splitpoint show`."""

from partitioner.cli.flags.arguments import BundleArgument
from partitioner.cli.flags.keys import RequireSignature, TrustedKeys
from partitioner.terminal.console import JsonFlag, print_json, screen


def show(
    bundle: BundleArgument,
    trusted_keys: TrustedKeys = None,
    require_signature: RequireSignature = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what is in a bundle: model, cuts, signature, profiles, calibration and exits.

    Every file is checked against its digest first, and against the signature where keys are given.

    Example: splitpoint show resnet50 --trusted-keys keys/
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.profiles.store import kept_profiles
    from partitioner.reports.bundle import bundle_table
    from partitioner.reports.contents import contents_json, contents_table, trained_table
    from partitioner.reports.signature import SeenSignature
    from partitioner.signatures.trust import Trust

    trust = Trust(trusted_keys, require_signature)
    loaded = Bundle.load(bundle, check=trust.check)
    profiles, signature = kept_profiles(loaded), SeenSignature.of(loaded, trust)
    if as_json:
        print_json({**contents_json(loaded, profiles), "signature": signature.to_dict()})
        return
    screen.print(contents_table(loaded, profiles, signature.text))
    screen.print(bundle_table(loaded))
    if loaded.exits:
        screen.print(trained_table(loaded.exits))
