"""`splitpoint show`."""

from partitioner.cli.flags.arguments import BundleArgument
from partitioner.terminal.console import JsonFlag, print_json, screen


def show(bundle: BundleArgument, as_json: JsonFlag = False) -> None:
    """Show what is in a bundle: model, cuts, profiles, calibration and exits.

    Every file is checked against its digest first.

    Example: splitpoint show resnet50
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.profiles.store import kept_profiles
    from partitioner.reports.bundle import bundle_table
    from partitioner.reports.contents import contents_json, contents_table, trained_table

    loaded = Bundle.load(bundle)
    profiles = kept_profiles(loaded)
    if as_json:
        print_json(contents_json(loaded, profiles))
        return
    screen.print(contents_table(loaded, profiles))
    screen.print(bundle_table(loaded))
    if loaded.exits:
        screen.print(trained_table(loaded.exits))
