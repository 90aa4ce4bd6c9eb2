"""The exits' networks: trained with torch, written as ONNX. The one module of exits that needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from partitioner.bundle.exit_outcomes import Floats
from partitioner.bundle.exits import CONFIDENCE
from partitioner.common.defaults import DEFAULT_EPOCHS
from partitioner.exits.features import Feature
from protos.tensors import Array, TensorSpec

_WIDTH = 64
_NARROW = 32
_SMALL_MAP = 12
"""Maps with no more rows keep their resolution through the first convolution."""
_BATCH = 64
_DROPOUT = 0.2
_OPSET = 18
_IR_VERSION = 9


@dataclass(frozen=True)
class TrainingSettings:
    """How exits are trained."""

    epochs: int = DEFAULT_EPOCHS
    temperature: float = 2.0
    """T, by which the whole model's scores are softened (Hinton et al. 2015, section 2)."""
    label_share: float = 0.3
    """Of the loss, where there are labels: cross-entropy with them; the rest is distillation."""
    peak_rate: float = 3e-3
    seed: int = 0


class ExitNetwork(nn.Module):
    """One branch a feature, each to a vector, and one linear layer on all of them.

    A map passes two 3 x 3 convolutions, and its mean and largest value count; a vector or a reduced
    sequence passes one linear layer.
    """

    def __init__(self, features: Sequence[Feature], classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(map(_branch, features))
        width = sum(2 * _WIDTH if feature.kind == "map" else _WIDTH for feature in features)
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(width, classes)

    def forward(self, *values: Tensor) -> Tensor:
        """Reduced features, each [n, …] -> scores [n, classes]."""
        found = [
            _pooled(branch(value)) for branch, value in zip(self.branches, values, strict=True)
        ]
        scores: Tensor = self.classifier(self.dropout(torch.cat(found, dim=1)))
        return scores


def _branch(feature: Feature) -> nn.Sequential:
    if feature.kind != "map":
        width = feature.shape[0]
        return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, _WIDTH), nn.ReLU())
    channels, rows, columns = feature.shape
    is_small = max(rows, columns) <= _SMALL_MAP
    first = nn.Conv2d(channels, _NARROW, 3, 1 if is_small else 2, padding=1)
    second = nn.Conv2d(_NARROW, _WIDTH, 3, 2 if is_small else 1, padding=1)
    return nn.Sequential(nn.BatchNorm2d(channels), first, nn.ReLU(), second, nn.ReLU())


def _pooled(value: Tensor) -> Tensor:
    return torch.cat([value.mean((2, 3)), value.amax((2, 3))], 1) if value.ndim == 4 else value


def distill(
    features: Sequence[Feature],
    values: Sequence[Array],
    scores: Floats,
    labels: Array | None,
    settings: TrainingSettings,
) -> ExitNetwork:
    """Train an exit to answer as the whole model does, and return it in evaluation mode.

    `values`: one array [n, …] a feature; `scores`: the whole model's, [n, classes]; `labels`: [n].
    loss = (1 - s) · T² · KL(softmax(whole / T) ‖ softmax(exit / T)) + s · cross-entropy(label), after
    G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network", 2015; without
    labels s = 0. The caller's random state and threads of torch stay as they are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = ExitNetwork(features, scores.shape[1])
            _fit(network, [_tensor(v) for v in values], _tensor(scores), labels, settings)
    finally:
        torch.set_num_threads(threads)
    return network.eval()


def _fit(
    network: ExitNetwork,
    values: Sequence[Tensor],
    scores: Tensor,
    labels: Array | None,
    settings: TrainingSettings,
) -> None:
    wanted = None if labels is None else torch.from_numpy(np.asarray(labels, np.int64))
    batches = max(1, len(scores) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), settings.peak_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.peak_rate, total_steps=settings.epochs * batches
    )
    network.train()
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(scores)).tensor_split(batches):
            found = network(*(value[rows] for value in values))
            loss = _distance(found, scores[rows], settings.temperature)
            if wanted is not None:
                right = functional.cross_entropy(found, wanted[rows])
                loss = (1 - settings.label_share) * loss + settings.label_share * right
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _distance(found: Tensor, whole: Tensor, temperature: float) -> Tensor:
    ours = functional.log_softmax(found / temperature, dim=1)
    theirs = functional.log_softmax(whole / temperature, dim=1)
    gap = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * gap


@torch.inference_mode()
def scores_of(network: ExitNetwork, values: Sequence[Array]) -> Floats:
    """Return the scores [n, classes] of reduced features, one array [n, …] each."""
    parts = [
        network(*(_tensor(value[begin : begin + 256]) for value in values))
        for begin in range(0, len(values[0]), 256)
    ]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def to_onnx(
    network: ExitNetwork,
    features: Sequence[Feature],
    output: TensorSpec,
    temperature: float,
    *,
    probabilities: bool,
) -> bytes:
    """Return the exit as an ONNX model: frontier values in; `output` and CONFIDENCE [batch] out.

    The scores are divided by `temperature`; with `probabilities` the output is their softmax.
    """
    graph = _Graph()
    vectors = [
        _write_branch(graph, feature, branch)
        for feature, branch in zip(features, network.branches, strict=True)
    ]
    vector = graph.op("Concat", *vectors, axis=1) if len(vectors) > 1 else vectors[0]
    scores = graph.linear(vector, network.classifier)
    names = [output.name, CONFIDENCE]
    if probabilities:
        scaled = graph.op("Div", scores, graph.weight(np.float32(temperature)))
        chances = graph.op("Softmax", scaled, axis=1, name=output.name)
    else:
        scaled = graph.op("Div", scores, graph.weight(np.float32(temperature)), name=output.name)
        chances = graph.op("Softmax", scaled, axis=1)
    graph.op("ReduceMax", chances, graph.weight(np.array([1])), keepdims=0, name=CONFIDENCE)
    inputs = [_info(feature.spec.name, feature.spec.shape) for feature in features]
    outputs = [_info(names[0], output.shape), _info(names[1], (-1,))]
    made = helper.make_graph(graph.nodes, "exit", inputs, outputs, graph.weights)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


class _Graph:
    """Nodes and weights as they are added; every method returns the name of the value it made."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, array: Any) -> str:
        name = f"exit/weight-{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"exit/{kind}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, value: str, layer: Any) -> str:
        return self.op("Gemm", value, *self._parameters(layer), transB=1)

    def layer(self, value: str, layer: nn.Module) -> str:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            moments = (layer.running_mean, layer.running_var)
            known = [*self._parameters(layer), *(self.weight(_numpy(moment)) for moment in moments)]
            return self.op("BatchNormalization", value, *known, epsilon=layer.eps)
        if isinstance(layer, nn.Conv2d):
            strides = list(layer.stride)
            return self.op(
                "Conv", value, *self._parameters(layer), strides=strides, pads=[1, 1, 1, 1]
            )
        if isinstance(layer, nn.Linear):
            return self.linear(value, layer)
        return self.op("Relu", value)

    def _parameters(self, layer: Any) -> tuple[str, str]:
        return self.weight(_numpy(layer.weight)), self.weight(_numpy(layer.bias))


def _write_branch(graph: _Graph, feature: Feature, branch: Any) -> str:
    value = _write_reduction(graph, feature)
    for layer in branch:
        value = graph.layer(value, layer)
    if feature.kind != "map":
        return value
    pools = (graph.op("GlobalAveragePool", value), graph.op("GlobalMaxPool", value))
    return graph.op("Flatten", graph.op("Concat", *pools, axis=1))


def _write_reduction(graph: _Graph, feature: Feature) -> str:
    """Do what Feature.reduce does."""
    name = feature.spec.name
    if feature.kind == "map" and feature.pool > 1:
        square = [feature.pool, feature.pool]
        return graph.op("AveragePool", name, kernel_shape=square, strides=square)
    if feature.kind == "sequence":
        axis = graph.weight(np.array([1]))
        first = graph.op("Gather", name, graph.weight(np.array(0)), axis=1)
        mean = graph.op("ReduceMean", name, axis, keepdims=0)
        largest = graph.op("ReduceMax", name, axis, keepdims=0)
        return graph.op("Concat", mean, largest, first, axis=1)
    return name


def _info(name: str, shape: tuple[int, ...]) -> Any:
    sizes = ["batch" if size == -1 else size for size in shape]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


def _numpy(value: Any) -> Array:
    found: Array = value.detach().numpy()
    return found
