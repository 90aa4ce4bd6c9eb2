"""`splitpoint devices`."""

from typing import Annotated

import typer

from partitioner.cli.flags import choices
from partitioner.terminal.console import JsonFlag, print_json, remark, screen


def _names(incomplete: str) -> list[str]:
    known = (*choices.devices(), *choices.radios())
    return [name for name in known if name.startswith(incomplete)]


def devices(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Print the file of this device or radio, to write one of your own from.",
            metavar="[NAME]",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the devices and radios that are known: watts, throughput, and how sure each number is.

    A device of your own is a file such as my-board.toml, given as --device my-board.toml. Start from one
    that is known: splitpoint devices raspberry-pi-4 > my-board.toml

    Example: splitpoint devices --json
    """
    from partitioner.devices.device import (
        device_names,
        load_device,
        load_radio,
        radio_names,
        template,
    )
    from partitioner.reports.devices import (
        OWN_TEXT,
        device_json,
        devices_table,
        radio_json,
        radios_table,
        throughputs_table,
        titles_table,
    )

    if name and as_json:
        found = load_radio(name) if name in radio_names() else None
        print_json(radio_json(found) if found else device_json(load_device(name)))
        return
    if name:
        typer.echo(template(name), nl=False)
        return
    known = [load_device(one) for one in device_names()]
    radios = [load_radio(one) for one in radio_names()]
    if as_json:
        print_json(
            {"devices": list(map(device_json, known)), "radios": list(map(radio_json, radios))}
        )
        return
    screen.print(devices_table(known))
    screen.print(throughputs_table(known))
    screen.print(radios_table(radios))
    screen.print(titles_table([*known, *radios]))
    remark(OWN_TEXT)
