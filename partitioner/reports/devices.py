"""Devices and radios, with where each number comes from, for people and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from partitioner.devices.citation import citation_of
from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.terminal.folding_table import FoldingTable, new_table

OWN_TEXT = (
    "m: measured, d: documented, e: estimated, by whom --json says. One of your own is a file with title, "
    "idle_w, compute_w and, if you know them, gflops, radio, [thermal] and [[sources]]: splitpoint devices "
    "raspberry-pi-4 > my-board.toml, then --device my-board.toml. A radio's is alike: splitpoint devices lte."
)

_DEVICE_UNITS = {
    "gflops": "GFLOP/s of float32 that models reach",
    "idle_w": "W awake and waiting",
    "compute_w": "W while it computes, idle included",
    "thermal.throttle_c": "°C at which it slows down",
    "thermal.ambient_c": "°C",
    "thermal.resistance_c_per_w": "°C/W",
    "thermal.time_constant_s": "s",
    "thermal.power_exponent": "",
}
_RADIO_UNITS = {
    "upload_w_per_mbps": "W for each Mbit/s up",
    "download_w_per_mbps": "W for each Mbit/s down",
    "active_w": "W awake",
    "tail_w": "W afterwards",
    "tail_s": "s afterwards",
}


def device_json(device: Device) -> dict[str, Any]:
    """Return a device: its numbers with unit, kind and source."""
    return {
        "name": device.name,
        "title": device.title,
        "radio": device.radio,
        "numbers": _numbers_json(device, _DEVICE_UNITS),
    }


def radio_json(radio: Radio) -> dict[str, Any]:
    """Return a radio: its numbers with unit, kind and source."""
    return {
        "name": radio.name,
        "title": radio.title,
        "numbers": _numbers_json(radio, _RADIO_UNITS),
    }


def devices_table(devices: Sequence[Device]) -> FoldingTable:
    """Return a line a device; the letter behind a number says what kind of source it has."""
    columns = ("GFLOP/s", "idle W", "compute W", "slows at °C", "radio")
    table = new_table("devices", "device", *columns, left=1)
    for device in devices:
        fields = ("gflops", "idle_w", "compute_w", "thermal.throttle_c")
        cells = (_cell(device, field) for field in fields)
        table.add_row(device.name, *cells, device.radio)
    return table


def radios_table(radios: Sequence[Radio]) -> FoldingTable:
    """Return a line a radio."""
    columns = ("W per Mbit/s up", "down", "awake W", "tail W", "tail s")
    table = new_table("radios", "radio", *columns, left=1)
    for radio in radios:
        table.add_row(radio.name, *(_cell(radio, field) for field in _RADIO_UNITS))
    return table


def titles_table(things: Sequence[Device | Radio]) -> Table:
    """Return what each is, in words."""
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for thing in things:
        table.add_row(thing.name, escape(thing.title))
    return table


def _value(thing: Device | Radio, field: str) -> float | None:
    found: Any = thing
    for part in field.split("."):
        found = getattr(found, part) if found is not None else None
    return None if found is None else float(found)


def _cell(thing: Device | Radio, field: str) -> str:
    value, source = _value(thing, field), citation_of(thing.sources, field)
    if value is None:
        return "–"
    return f"{value:.3g}{f' {source.kind[0]}' if source else ''}"


def _numbers_json(thing: Device | Radio, units: dict[str, str]) -> dict[str, Any]:
    found = {}
    for field, unit in units.items():
        source = citation_of(thing.sources, field)
        found[field] = {
            "value": _value(thing, field),
            "unit": unit,
            "kind": source.kind if source else None,
            "source": source.text if source else None,
        }
    return found
