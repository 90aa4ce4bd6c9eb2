"""DigitNet as an ONNX file whose nodes and values carry the network's own names."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from network import IMAGE_SIZE, DigitNet
from numpy.typing import NDArray


def export_onnx(network: DigitNet, path: Path) -> None:
    """Write `image` (batch, 3, 320, 320) -> `logits` (batch, 10), weights inside the one file.

    The exporter folds batch normalisation into the convolutions. What it notes about its own run
    (stack traces, paths) is left out, and the places to cut get names such as `stage2.1/Add`.
    """
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE),),
        dynamo=True,
        opset_version=18,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
        verbose=False,
    )
    graph = program.model.graph
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props["pkg.torch.onnx.name_scopes"])
        node.name = f"{stage_name(network, scopes[-2])}/{node.op_type}".lstrip("/")
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if not value.is_graph_output():
                value.name = node.name
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    program.model.metadata_props.clear()
    program.save(path)


def stage_name(network: DigitNet, module: str) -> str:
    """`stage2.1.expand.2`, one layer of a sequence, is called after the sequence."""
    parent, _, last = module.rpartition(".")
    is_layer = last.isdigit() and not any(network.get_submodule(module).children())
    return parent if is_layer else module


def measure_difference(network: DigitNet, path: Path, images: NDArray[np.float32]) -> float:
    """Largest absolute difference between torch's and ONNX Runtime's logits on these images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images)).numpy()
    return float(np.abs(session.run(None, {"image": images})[0] - expected).max())
