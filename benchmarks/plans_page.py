"""The page docs/plans.md: what `python -m benchmarks.plans` found, in words and tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from protos.names import CLOUD, EDGE

Results = Mapping[str, Any]
Choices = Sequence[Mapping[str, Any]]

_LEAST = 0.01
"""A smaller gain is none."""

_HEAD = """# Every fixed cut and the plan's choice, on four links

This page is written by `{command}`: milliseconds from frame to result, round trip {rtt_ms:.0f} ms, the
same rate up and down; **bold** is what `splitpoint plan --accuracy-drop {drop:g}` chooses.

What is measured and what is not. The cloud's times are measured: one thread of {cpu} ({cores} cores,
{runtime}, {date}). **The edge is scaled, not measured**: the same profile times {scale:g}, waking up
for a frame with it; below each table, what its operators take on a {device} by its throughput
(an estimate, see planning.md). The network is the plan's formula; bytes are of whole messages.

DigitNet is the demo's bundle, trained, and calibrated on labelled frames: its points are of accuracy.
The others take 224 x 224 and were calibrated on crops of scikit-learn's two photographs: their points
are of agreement with the whole model, on few frames, so that a bound of 1 point admits no disagreement
at all. **The weights of ResNet-50, MobileNetV2 and ViT-Tiny are random**: what codecs cost them says
little of trained ones. "coded" is the fastest codec within the bound on each link; kB and points are of
the one on the slowest link.

What it shows: where an interior cut is faster than the better end, and by how much.
"""


def write_page(results: Results, facts: Mapping[str, Any], mbits: Sequence[int]) -> Iterator[str]:
    """Yield the page's lines. `facts` fills the head: command, machine, date, scale, device, drop."""
    yield _HEAD.format(**facts)
    for name, found in results.items():
        yield from _wins(name, found, facts, mbits)
    for name, found in results.items():
        yield from _model(name, found, facts, mbits)


def _wins(
    name: str, found: Mapping[str, Any], facts: Mapping[str, Any], mbits: Sequence[int]
) -> Iterator[str]:
    rows: list[tuple[str, Choices]] = [
        (f"times {facts['scale']:g}", found["choices"]),
        (f"as a {facts['device']}", found["device"]),
        *((f"times {scale}", choices) for scale, choices in found["slower"].items()),
    ]
    won = [text for edge, choices in rows for text in _won(edge, choices, mbits)]
    if won:
        yield f"- **{name}**: " + "; ".join(won) + "."
    else:
        edges = ", ".join(edge for edge, _ in rows)
        yield f"- **{name}**: nowhere (the edge {edges})."


def _won(edge: str, choices: Choices, mbits: Sequence[int]) -> Iterator[str]:
    for mbit, choice in zip(mbits, choices, strict=True):
        chosen, end = choice["chosen"], choice["end"]
        less = 1 - chosen["ms"] / end["ms"]
        if chosen["label"].split("/")[0] not in (CLOUD, EDGE) and less >= _LEAST:
            yield (
                f"{edge} at {mbit} Mbit/s {chosen['ms']:.1f} ms by {chosen['label']}, where "
                f"{end['label']} takes {end['ms']:.1f} ({100 * less:.0f} % less)"
            )


def _model(
    name: str, found: Mapping[str, Any], facts: Mapping[str, Any], mbits: Sequence[int]
) -> Iterator[str]:
    yield f"\n## {name}\n"
    yield (
        f"{found['flops'] / 1e9:.2f} GFLOP, {found['whole_ms']:.1f} ms on the cloud; the edge: those, "
        f"times {facts['scale']:g}. Codecs were measured on {found['measured_on']} frames; "
        f"options that lose more than {facts['drop']:g} points: {found['left_out']}.\n"
    )
    yield "| cut | raw kB | coded kB | points | " + " | ".join(f"{m} Mbit/s" for m in mbits) + " |"
    yield "|---|---|---|---|" + "---|" * len(mbits)
    best = [choice["chosen"]["label"] for choice in found["choices"]]
    for label, options in found["image_codecs"].items():
        size, lost = f"{options[0]['upload_bytes'] / 1e3:.1f}", _lost(options[0])
        yield f"| {label} | | {size} | {lost} | {_cells(options, best, '{ms}')} |"
    for cut, rows in found["rows"].items():
        yield from _cut_lines(cut, rows, best)
    yield from _choice_lines("", found["choices"])
    device = f"{facts['device']} (times {found['device_scale']:.2f}): "
    yield from _choice_lines(device, found["device"])
    for scale, choices in found["slower"].items():
        yield from _choice_lines(f"times {scale}: ", choices)


def _cut_lines(cut: str, rows: Sequence[dict[str, Any]], best: Sequence[str]) -> Iterator[str]:
    """Yield a line for the raw frontier, and one for what is fastest on each link of the codecs."""
    raw = [row["raw"] for row in rows]
    size = f"{raw[0]['upload_bytes'] / 1e3:.1f}"
    label = cut if cut == EDGE else f"{cut}/raw"
    yield f"| {label} | {size} | | | {_cells(raw, best, '{ms}')} |"
    coded = [row["coded"] for row in rows]
    if cut != CLOUD and all(coded):
        size, lost = f"{coded[0]['upload_bytes'] / 1e3:.1f}", _lost(coded[0])
        cells = _cells(coded, best, "{ms} {codec}")
        yield f"| {cut}, coded | | {size} | {lost} | {cells} |"


def _cells(options: Sequence[dict[str, Any]], best: Sequence[str], form: str) -> str:
    texts = [form.format(ms=f"{o['ms']:.1f}", codec=o["codec"]) for o in options]
    pairs = zip(texts, options, best, strict=True)
    return " | ".join(f"**{text}**" if o["label"] == b else text for text, o, b in pairs)


def _lost(option: dict[str, Any]) -> str:
    return "" if option["lost_points"] is None else f"{0.0 - option['lost_points']:+.1f}"


def _choice_lines(prefix: str, choices: Sequence[dict[str, Any]]) -> Iterator[str]:
    for title, key in (
        ("the better end", "end"),
        ("the best without lossy activations", "exact"),
        ("**the plan's choice**", "chosen"),
    ):
        cells = [f"{choice[key]['ms']:.1f} ({choice[key]['label']})" for choice in choices]
        yield f"| {prefix}{title} | | | | " + " | ".join(cells) + " |"
