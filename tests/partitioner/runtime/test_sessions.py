"""How sessions of the runtime are opened."""

import pytest

from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import UsageError


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**12])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads} threads cannot compute. Give 1 to 1024"):
        RuntimeOptions(threads)
