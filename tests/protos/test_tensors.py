"""Specs of tensors: which sizes are fixed, and what stands for those that are not."""

import pytest

from protos.errors import TensorError
from protos.tensors import TensorSpec

BOXES = TensorSpec("boxes", "float32", (1, -2, 4), (7,))


def test_axis_that_the_data_size_takes_any_size_and_none() -> None:
    assert BOXES.fits((1, 0, 4))
    assert BOXES.fits((1, 300, 4))
    with pytest.raises(TensorError, match=r"float32\[1, any, 4\] is wanted"):
        BOXES.check("float32", (2, 7, 4))
    assert not TensorSpec("x", "float32", (-1, 4)).fits((0, 4))


def test_usual_size_stands_for_one_that_the_data_say() -> None:
    assert BOXES.sized() == (1, 7, 4)
    assert BOXES.nbytes() == 7 * 4 * 4
    assert TensorSpec("x", "uint8", (-1, -2, -2), (3, 0)).sized(5) == (5, 3, 0)


def test_protocol_has_one_word_for_sizes_that_are_not_fixed() -> None:
    assert TensorSpec("x", "uint8", (-1, -2, 3), (3,)).oip_shape == (-1, -1, 3)
