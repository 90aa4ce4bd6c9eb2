"""Asking a cloud server to measure itself."""

import json

import grpc
from pydantic import ValidationError

from partitioner.bundle.bundle import Bundle
from partitioner.common.arguments import need, need_numbers
from partitioner.common.progress import OnProgress, unheard
from partitioner.profiles.profile import Machine, Profile
from protos.errors import BundleError, FaultError, ProfileError
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.splitpoint_pb2 import GetServerInfoRequest, MeasureProfileRequest
from protos.splitpoint_pb2_grpc import SplitpointStub

_ASK_S = 5.0


def measure_remote_profile(
    server: str | Endpoint,
    bundle: Bundle,
    budget_s: float,
    on_progress: OnProgress = unheard,
) -> Profile:
    """Let `server` time its side of `bundle`, and return its profile; an address alone: in the clear.

    Raises UnreachableError when no server answers, MismatchError when its bundle is another one, FaultError
    when it cannot load or measure it.
    """
    need("bundle", bundle, Bundle, wanted="a Bundle, as Bundle.load(path) returns it")
    need_numbers({"budget_s": budget_s})
    request = MeasureProfileRequest(
        name=bundle.name,
        bundle_digest=bundle.digest,
        version_digest=bundle.version_digest,
        budget_s=budget_s,
    )
    document, address = "", Endpoint.of(server)
    with address.open() as channel:
        try:
            # The stages' least number of runs may exceed the budget; a slow machine is not an error.
            for message in SplitpointStub(channel).MeasureProfile(
                request, timeout=10 * budget_s + 120
            ):
                on_progress(message.stage, message.done, message.total)
                document = message.profile_json or document
        except grpc.RpcError as error:
            failure = translate(error, address)
            if isinstance(failure, BundleError):  # the server's; the one here is well
                raise FaultError(f"{address} cannot measure: {failure}") from error
            raise failure from error
    if not document:
        raise FaultError(
            f"the server at {address} ended the measurement without a profile. See its log."
        )
    try:
        read = json.loads(document)
    except ValueError as error:
        raise FaultError(
            f"the profile that {address} sent is no JSON: {error}. Measure it again."
        ) from error
    try:
        return Profile.parse(read, f"the answer of {address}")
    except ProfileError as error:
        raise FaultError(
            f"{error} Or bring both sides to the same version of Splitpoint."
        ) from error


def server_machine(server: str | Endpoint) -> Machine | None:
    """Return the fingerprint of the machine of `server`; None if it does not say.

    Raises UnreachableError when no server answers.
    """
    address = Endpoint.of(server)
    with address.open() as channel:
        try:
            answer = SplitpointStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=_ASK_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise translate(error, address) from error
    try:
        return Machine.model_validate_json(answer.machine_json)
    except ValidationError:
        return None  # an older server, or a newer one
