"""Errors across the wire."""

import pytest

from protos.errors import (
    BundleError,
    DeniedError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnauthenticatedError,
    UnknownNameError,
    UnreachableError,
)
from protos.rpc.status import code_of, error_from


@pytest.mark.parametrize(
    "kind",
    [
        UnknownNameError,
        TensorError,
        MismatchError,
        TooLargeError,
        OverloadedError,
        LateError,
        UnreachableError,
        BundleError,
        DeniedError,
        UnauthenticatedError,
        FaultError,
    ],
)
def test_error_keeps_its_kind_and_sentence_across_the_wire(kind: type[SplitpointError]) -> None:
    error = kind("found this, wanted that")
    back = error_from(code_of(error).name, str(error))
    assert type(back) is kind
    assert str(back) == "found this, wanted that"
