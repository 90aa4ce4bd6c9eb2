"""What the outputs of a frame say, as plain data: their values, the strongest class, the boxes found."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.graph.graph import Graph
from partitioner.outputs.classes import class_outputs, top1
from partitioner.outputs.recognition import find_detector
from protos.tensors import Array

SMALL = 256
"""Values that an output may have to stand in a record; of a larger one only type and shape do."""


_HANDS_ON = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze"})
"""Operators at the end of an export that leave the numbers as they are."""


class Interpretation:
    """Reads the outputs of one bundle. `labelled`: the caller knows the right class of frames.

    Exits are trained for classes alone, so that a bundle with some is of a classifier.
    """

    def __init__(self, bundle: Bundle, *, labelled: bool = False) -> None:
        self._labels = bundle.manifest.labels
        steps = bundle.manifest.preprocess
        self._detector = find_detector(
            bundle.inputs, bundle.outputs, self._labels, steps.resize if steps else None
        )
        self._classes: tuple[str, ...] = ()
        if self._detector is None:
            known = labelled or bundle.exits is not None
            made_by = _makers(bundle)
            self._classes = class_outputs(bundle.outputs, self._labels, made_by, labelled=known)

    @property
    def names_one_class(self) -> bool:
        """True where an answer is the scores of one thing's classes."""
        return len(self._classes) == 1

    def top1(self, outputs: Mapping[str, Array]) -> dict[str, Any] | None:
        """Return the strongest class; None where the model is no classifier, or gave no answer."""
        return top1(outputs, self._classes, self._labels)

    def detections(self, outputs: Mapping[str, Array]) -> list[dict[str, Any]] | None:
        """Return what was found; None where the model is no detector, or gave no answer."""
        if self._detector is None or not outputs:
            return None
        return self._detector.read(outputs)


def plain_outputs(outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Return type and shape of each output, and the values of the small ones as nested lists.

    Floats have the fewest digits that tell them from their neighbours; what is no number is null.
    """
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        | ({"values": _listed(array)} if array.size <= SMALL else {})
        for name, array in outputs.items()
    }


def _listed(array: Array) -> Any:
    if array.dtype.kind != "f":
        return array.tolist()
    short = np.array([float(str(value)) for value in array.reshape(-1)], object)
    short[~np.isfinite(array.reshape(-1))] = None
    return short.reshape(array.shape).tolist()


def _makers(bundle: Bundle) -> dict[str, str]:
    """Return the operator that makes each output's values, where the bundle keeps its graph."""
    graph = None if bundle.heads_only else bundle.graph
    return {name: _maker(graph, name) for name in graph.outputs} if graph else {}


def _maker(graph: Graph, value: str) -> str:
    """Return the operator that makes a value's numbers, which others may hand on; empty for an input."""
    while (place := graph.producer.get(value)) is not None:
        node = graph.nodes[place]
        if node.op not in _HANDS_ON or not node.inputs:
            return node.op
        value = node.inputs[0]
    return ""
