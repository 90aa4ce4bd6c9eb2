"""Rules: which role each gRPC method and each REST route asks for. What is not here is refused to all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloud_server.security.registered_device import Role


@dataclass(frozen=True)
class Rule:
    """Who may call something.

    `is_open`: anybody, without a name. Else a registered device that has one of `roles`; () for any device.
    `is_charged`: whether the gate counts the call towards the device's limits. Of inference it does not,
    since each request of a stream counts, on whatever road it comes; nor of what a device's program asks by
    itself, greetings, probes of the link and downloads: they would take the requests of its frames.
    `is_of_all_models`: only for a device that may use every model, since it tells of them all or changes
    them.
    """

    roles: tuple[Role, ...] = ()
    is_open: bool = False
    is_charged: bool = True
    is_of_all_models: bool = False


OPEN: Final = Rule(is_open=True)
"""For what an orchestrator asks: is it alive, is it ready. Nothing else is told without a name."""
ANY_DEVICE: Final = Rule()
"""For what tells the caller of the server, and of no model that is not its own."""
_OF_ITSELF: Final = Rule(is_charged=False)
INFER: Final = Rule((Role.INFER,))
_INFERENCE: Final = Rule((Role.INFER,), is_charged=False)
_FETCH: Final = Rule((Role.FETCH,), is_charged=False)
_TELEMETRY: Final = Rule((Role.TELEMETRY,))
_PROFILE: Final = Rule((Role.PROFILE,))
_ADMIN: Final = Rule((Role.ADMIN,), is_of_all_models=True)
_STATISTICS: Final = Rule((Role.TELEMETRY, Role.ADMIN))
METRICS: Final = Rule((Role.TELEMETRY, Role.ADMIN), is_of_all_models=True)

_OIP = "/inference.GRPCInferenceService/"
_SPLITPOINT = "/splitpoint.v1.Splitpoint/"
_UPDATES = "/splitpoint.v1.Updates/"
_HEALTH = "/grpc.health.v1.Health/"

RPC_RULES: Final[Mapping[str, Rule]] = {
    f"{_OIP}ServerLive": OPEN,
    f"{_OIP}ServerReady": OPEN,
    f"{_OIP}ServerMetadata": ANY_DEVICE,
    f"{_OIP}ModelReady": INFER,
    f"{_OIP}ModelMetadata": INFER,
    f"{_OIP}ModelConfig": INFER,
    f"{_OIP}ModelStatistics": _STATISTICS,
    f"{_OIP}ModelInfer": _INFERENCE,
    f"{_OIP}ModelStreamInfer": _INFERENCE,
    f"{_OIP}RepositoryIndex": _ADMIN,
    f"{_OIP}RepositoryModelLoad": _ADMIN,
    f"{_OIP}RepositoryModelUnload": _ADMIN,
    **{
        f"{_OIP}{kind}SharedMemory{what}": ANY_DEVICE
        for kind in ("System", "Cuda")
        for what in ("Status", "Register", "Unregister")
    },
    f"{_SPLITPOINT}GetServerInfo": _OF_ITSELF,
    f"{_SPLITPOINT}ListBundles": _OF_ITSELF,
    f"{_SPLITPOINT}Probe": _OF_ITSELF,
    f"{_SPLITPOINT}FetchBundle": _FETCH,
    f"{_SPLITPOINT}MeasureProfile": _PROFILE,
    f"{_SPLITPOINT}ReportTelemetry": _TELEMETRY,
    f"{_UPDATES}WatchVersion": _OF_ITSELF,
    f"{_UPDATES}FetchPart": _FETCH,
    f"{_UPDATES}ListRollouts": _ADMIN,
    f"{_UPDATES}SteerRollout": _ADMIN,
    f"{_HEALTH}Check": OPEN,
    f"{_HEALTH}List": OPEN,
    f"{_HEALTH}Watch": ANY_DEVICE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_DEVICE,
}
"""By full method name. `Watch` and reflection stay open for as long as the caller likes: they want a name."""

REST_RULES: Final[Mapping[str, Rule]] = {
    "/metrics": METRICS,
    "/v2": ANY_DEVICE,
    "/v2/models/stats": _STATISTICS,
    "/v2/models/{name}/stats": _STATISTICS,
    "/v2/models/{name}/versions/{version}/stats": _STATISTICS,
    "/v2/models/{name}": INFER,
    "/v2/models/{name}/versions/{version}": INFER,
    "/v2/models/{name}/config": INFER,
    "/v2/models/{name}/versions/{version}/config": INFER,
    "/v2/models/{name}/ready": INFER,
    "/v2/models/{name}/versions/{version}/ready": INFER,
    "/v2/models/{name}/infer": _INFERENCE,
    "/v2/models/{name}/versions/{version}/infer": _INFERENCE,
    "/v2/repository/index": _ADMIN,
    "/v2/repository/models/{name}/load": _ADMIN,
    "/v2/repository/models/{name}/unload": _ADMIN,
}
"""By the path of a route as it was declared. Health and the pages about the routes are open, and not here."""
