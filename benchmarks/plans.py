"""What does every fixed cut take on a link, and what does the plan choose?"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx

from benchmarks import reporting
from benchmarks.architectures import mobilenet_v2, resnet50, vit_tiny
from partitioner.bundle import Bundle
from partitioner.devices import load_device, scaled_to
from partitioner.importing import ImportOptions, import_model
from partitioner.link import Link
from partitioner.planning import Option, Plan, plan
from partitioner.profiles import Profile
from partitioner.profiling import measure_profile
from tests.models import save

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits"
MBITS = (1, 5, 20, 100)
RTT_S = 0.02
MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "ResNet-50": resnet50,
    "MobileNetV2": mobilenet_v2,
    "ViT-Tiny": vit_tiny,
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import and profile every model here, scale the edge to the device, and price every option."""
    device = load_device(arguments.device)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, build in MODELS.items():
            onnx_file = save(build(), Path(folder) / f"{name}.onnx")
            options = ImportOptions(preprocess="imagenet", samples=EXAMPLE / "frames")
            bundle = import_model(onnx_file, Path(folder) / name, options)
            cloud = measure_profile(bundle, budget_s=arguments.budget_s)
            edge = scaled_to(device, cloud, bundle.manifest.flops)
            results[name] = _compare(bundle, edge, cloud)
    reporting.RESULTS.mkdir(exist_ok=True)
    (reporting.RESULTS / "plans.md").write_text("\n".join(_markdown(results)))
    return results


def _compare(bundle: Bundle, edge: Profile, cloud: Profile) -> dict[str, Any]:
    """Return milliseconds by link for every fixed cut, for the two ends, and for the plan's choice."""

    def at(mbit: float, codec: str | None = None) -> Plan:
        return plan(bundle, Link(mbit * 1e6, mbit * 1e6, RTT_S), edge, cloud, codec=codec)

    exact = [at(mbit) for mbit in MBITS]
    lossy = [at(mbit, "int8") for mbit in MBITS]
    rows = {
        option.label: [_ms(_find(made, option.label)) for made in exact]
        for option in exact[0].options
    }
    ends = [
        min((o for o in made.options if o.cut in ("cloud", "edge")), key=lambda o: o.total_s)
        for made in exact
    ]
    return {
        "edge_scale": edge.scale,
        "flops": bundle.manifest.flops,
        "upload_bytes": {option.label: option.upload_bytes for option in exact[0].options},
        "ms": rows,
        "best_end": [[end.label, _ms(end)] for end in ends],
        "chosen": [[made.best.label, _ms(made.best)] for made in exact],
        "chosen_int8": [[made.best.label, _ms(made.best)] for made in lossy],
    }


def _find(made: Plan, label: str) -> Option:
    return next(option for option in made.options if option.label == label)


def _ms(option: Option) -> float:
    return 1e3 * option.total_s


def _markdown(results: dict[str, Any]) -> Iterator[str]:
    for name, found in results.items():
        yield f"\n## {name}\n"
        yield (
            f"{found['flops'] / 1e9:.2f} GFLOP; edge times are those of the cloud's machine, times "
            f"{found['edge_scale']:.2f}.\n"
        )
        yield "| option | upload kB | " + " | ".join(f"{mbit} Mbit/s" for mbit in MBITS) + " |"
        yield "|---|---|" + "---|" * len(MBITS)
        for label, values in found["ms"].items():
            cells = [
                f"**{value:.1f}**" if label == chosen else f"{value:.1f}"
                for value, (chosen, _) in zip(values, found["chosen"], strict=True)
            ]
            yield (
                f"| {label} | {found['upload_bytes'][label] / 1e3:.1f} | "
                + " | ".join(cells)
                + " |"
            )
        for title, key in (
            ("the better end", "best_end"),
            ("**the plan's choice**", "chosen"),
            ("int8 frontiers, or the edge", "chosen_int8"),
        ):
            cells = [f"{value:.1f} ({label})" for label, value in found[key]]
            yield f"| {title} | | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    reporting.main(__doc__, measure, device="raspberry-pi-4", budget_s=20.0)
