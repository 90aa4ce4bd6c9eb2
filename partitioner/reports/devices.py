"""Devices and radios, with where each number comes from, for people and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from partitioner.devices.citation import citation_of
from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.devices.throughput import Throughput
from partitioner.terminal.folding_table import FoldingTable, new_table

OWN_TEXT = (
    "m: measured, d: documented, e: estimated, by whom --json says. One of your own is a file with title, "
    "idle_w, compute_w and, if you know them, radio, [[throughput]], [thermal] and [[sources]]: splitpoint "
    "devices raspberry-pi-4 > my-board.toml, then --device my-board.toml. A radio's is alike: splitpoint "
    "devices lte."
)

_DEVICE_UNITS = {
    "idle_w": "W awake and waiting",
    "compute_w": "W while it computes, idle included",
    "thermal.throttle_c": "°C at which it slows down",
    "thermal.ambient_c": "°C",
    "thermal.resistance_c_per_w": "°C/W",
    "thermal.time_constant_s": "s",
    "thermal.power_exponent": "",
}
_RATE_UNITS = {
    "dense_gflops": "GFLOP/s of dense convolutions and products of matrices",
    "depthwise_gflops": "GFLOP/s of convolutions of few channels at a time",
    "memory_gb_s": "GB/s of operators that do little else than move values",
    "node_us": "µs that an operator takes besides",
    "low": "times as long that all may take at best",
    "high": "times as long that all may take at worst",
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
        "throughput": [_rate_json(device, rate) for rate in device.throughput],
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
    columns = ("idle W", "compute W", "slows at °C", "radio")
    table = new_table("devices", "device", *columns, left=1)
    for device in devices:
        fields = ("idle_w", "compute_w", "thermal.throttle_c")
        cells = (_cell(device, field) for field in fields)
        table.add_row(device.name, *cells, device.radio)
    return table


def throughputs_table(devices: Sequence[Device]) -> FoldingTable:
    """Return a line for each device and number of threads: what its operators reach, and how sure that is."""
    columns = ("threads", "dense GFLOP/s", "depthwise", "memory GB/s", "times, really")
    table = new_table("throughput (float32)", "device", *columns, left=1)
    for device in devices:
        source = citation_of(device.sources, "throughput")
        letter = f" {source.kind[0]}" if source else ""
        for rate in device.throughput:
            threads = "GPU" if rate.on == "gpu" else str(rate.threads)
            speeds = (rate.dense_gflops, rate.depthwise_gflops, rate.memory_gb_s)
            cells = (f"{speed:.3g}{letter}" for speed in speeds)
            table.add_row(device.name, threads, *cells, f"{rate.low:g}x to {rate.high:g}x")
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


def _rate_json(device: Device, rate: Throughput) -> dict[str, Any]:
    source = citation_of(device.sources, "throughput")
    numbers = {
        field: {
            "value": getattr(rate, field),
            "unit": unit,
            "kind": source.kind if source else None,
            "source": source.text if source else None,
        }
        for field, unit in _RATE_UNITS.items()
    }
    return {"threads": rate.threads, "on": rate.on, "numbers": numbers}


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
