"""What an answer of the cloud has to be, and what is said where it is something else."""

import numpy as np
import pytest

from edge_client.cloud.reply import check_outputs
from protos.errors import FaultError
from protos.tensors import TensorSpec

BOXES = TensorSpec("boxes", "float32", (1, 5, 4))


def test_answer_of_another_model_is_told_from_one_of_another_size() -> None:
    check_outputs({"boxes": np.zeros((1, 5, 4), np.float32)}, [BOXES])
    for other in ({}, {"boxes": np.zeros((1, 5, 4))}, {"boxes": np.zeros(20, np.float32)}):
        with pytest.raises(FaultError, match="serves another model by this name"):
            check_outputs(other, [BOXES])
    with pytest.raises(FaultError, match=r"\[1, 3, 4\].*follows from the data.*Import the model"):
        check_outputs({"boxes": np.zeros((1, 3, 4), np.float32)}, [BOXES])


def test_answer_of_other_rows_than_were_sent_is_of_another_frame() -> None:
    scores = TensorSpec("scores", "float32", (-1, 10))
    check_outputs({"scores": np.zeros((2, 10), np.float32)}, [scores], 2)
    with pytest.raises(FaultError, match=r"\[3, 10\].*was sent 2 samples.*another frame"):
        check_outputs({"scores": np.zeros((3, 10), np.float32)}, [scores], 2)


def test_output_that_the_data_size_may_be_empty() -> None:
    any_number = TensorSpec("boxes", "float32", (1, -2, 4), (5,))
    check_outputs({"boxes": np.zeros((1, 0, 4), np.float32)}, [any_number])
