"""Classifiers: which outputs are scores of classes, if anything says so, and which class is strongest."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protos.tensors import Array, TensorSpec

_SCORING = ("Softmax", "LogSoftmax")
"""Operators whose outputs are scores of things that exclude each other."""
_NAMED = re.compile(
    r"(^|[^a-z])(logits?|prob(abilitie|)s?|class(es)?|softmax|(class|cls)_(scores?|probs?|logits?))[^a-z]*$"
)
"""A name that ends so: `cls_token` and `prob_map_features` are of something else."""


def class_outputs(
    outputs: Sequence[TensorSpec],
    labels: Sequence[str] = (),
    made_by: Mapping[str, str] | None = None,
    *,
    labelled: bool = False,
) -> tuple[str, ...]:
    """Return the names of the outputs that are scores of classes: floats [batch, classes], 2 or more.

    The shape alone would take a regression for a classifier. So something has to say it: the bundle has
    as many class names, a softmax makes the output (`made_by`: the operator that made each), its name says
    so (logits, probabilities, classes), or frames have known classes (`labelled`) and no other could be it.
    """
    made_by = made_by or {}
    able = [
        spec
        for spec in outputs
        if len(spec.shape) == 2
        and spec.shape[0] in (-1, 1)
        and spec.shape[1] > 1
        and spec.dtype.startswith("float")
    ]
    return tuple(
        spec.name
        for spec in able
        if len(labels) == spec.shape[1]
        or made_by.get(spec.name) in _SCORING
        or _NAMED.search(spec.name.lower())
        or (labelled and len(able) == 1)
    )


def top1(
    outputs: Mapping[str, Array], names: Sequence[str], labels: Sequence[str]
) -> dict[str, Any] | None:
    """Return the strongest class of each of the outputs `names`, for its first sample.

    With one such output: `index`, `label` (if it has one) and `score`, the output's own value there.
    With several: that by output name. None when there is none, as where a score is no number.
    """
    found = {name: _strongest(outputs[name][0], labels) for name in names if name in outputs}
    if len(found) == 1:
        return next(iter(found.values()))
    return found or None


def _strongest(scores: Array, labels: Sequence[str]) -> dict[str, Any] | None:
    if np.isnan(scores).any():
        return None
    index = int(np.argmax(scores))
    strongest: dict[str, Any] = {"index": index}
    if len(labels) == scores.shape[0]:
        strongest["label"] = labels[index]
    # JSON has no word for infinity.
    value = float(scores[index])
    return {**strongest, "score": round(value, 6) if np.isfinite(value) else None}
