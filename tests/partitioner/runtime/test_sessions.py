"""How sessions of the runtime are opened."""

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import UsageError
from protos.names import CLOUD
from tests.kit.frames import assert_same, frames


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**12])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads:,} threads cannot compute. Give 1 to 1024"):
        RuntimeOptions(threads)


def test_stage_computes_the_same_of_an_array_in_another_byte_order(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    whole = residual_bundle.open_tail(CLOUD)
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in inputs.items()}
    swapped = {name: np.asfortranarray(array) for name, array in swapped.items()}
    assert_same(whole.run(swapped), whole.run(inputs))
