"""Errors across the wire."""

import pytest

from cloud_server.security.quotas import Quotas
from cloud_server.security.registered_device import Limits
from protos.errors import (
    BundleError,
    DeniedError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    QuotaError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnauthenticatedError,
    UnknownNameError,
    UnreachableError,
)
from protos.rpc.status import code_of, error_from
from tests.kit.clocks import FakeClock
from tests.kit.devices import device_of


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


def test_call_that_nobody_here_has_cancelled_was_dropped_by_a_busy_server() -> None:
    assert type(error_from("CANCELLED", "dropped")) is OverloadedError


@pytest.mark.parametrize(("said_ms", "kept_s"), [(0, 0.0), (1500, 1.5), (-1, 0.0)])
def test_refusal_for_overload_keeps_when_to_try_again(said_ms: float, kept_s: float) -> None:
    error = error_from("RESOURCE_EXHAUSTED", "full", said_ms)
    assert isinstance(error, OverloadedError)
    assert error.retry_after_s == kept_s


def test_quota_of_a_device_is_told_from_a_server_that_is_full() -> None:
    quotas = Quotas(Limits(), FakeClock())
    device, _ = device_of("cam", "infer", limits=Limits(requests_per_s=1))
    quotas.charge(device, 1)
    with pytest.raises(QuotaError) as over:
        quotas.charge(device, 1)
    back = error_from(code_of(over.value), str(over.value), 1000)
    assert (type(back), str(back)) == (QuotaError, str(over.value))
    assert type(error_from(code_of(over.value), "the queue is full.")) is OverloadedError
