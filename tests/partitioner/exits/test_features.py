"""Which values of a frontier an exit can use."""

import pytest

from partitioner.bundle.manifest import Cut
from partitioner.exits.features import features_of
from protos.codecs.registry import codecs_for
from protos.tensors import TensorSpec


@pytest.mark.parametrize("shape", [(), (0,), (1, 0), (-1, 0, 4), (-1, 4, 0), (1, 3, 0, 2)])
def test_scalars_and_empty_values_are_no_features_and_cross_raw(shape: tuple[int, ...]) -> None:
    odd = TensorSpec("odd", "float32", shape)
    usual = TensorSpec("usual", "float32", (-1, 8))
    cut = Cut(id="cut-01", after="a", frontier=(odd, usual), head_graph="h", tail_graph="t")
    assert [feature.spec.name for feature in features_of(cut)] == ["usual"]
    assert [codec.name for codec in codecs_for((odd,))] == ["raw"]
