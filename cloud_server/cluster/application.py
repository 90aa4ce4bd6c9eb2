"""The application of Ray Serve: one deployment of tails, and how Serve scales and renews it."""

from collections.abc import Mapping
from typing import Any

from ray import serve

from cloud_server.cluster.options import ClusterOptions, read_options
from cloud_server.cluster.request_router import ROUTER
from cloud_server.cluster.tail_replica import TailReplica
from partitioner.settings.log_options import LogOptions

NAME = "splitpoint"
DEPLOYMENT = "tails"

_LOOK_BACK_S = 15.0
"""Over which Serve takes the mean number of requests, which replicas tell it every 10 s."""
_TRIES = 3
"""Of starting a replica, until the deployment has failed."""
_SURGE_PERCENT = 25
"""Of the replicas, rounded up: so many more while they are renewed: none goes before the next is there."""


def application(written: Mapping[str, Any]) -> Any:
    """Return the application, from the settings as a file has them: for `serve deploy` and KubeRay.

    Raises UsageError, which names what is wrong.
    """
    return application_of(read_options(written), LogOptions())


def application_of(options: ClusterOptions, logs: LogOptions) -> Any:
    """Return the application with these options."""
    deployment = serve.deployment(
        TailReplica,
        name=DEPLOYMENT,
        # The engine decides what waits, and for how long; a proxy holds what it takes.
        max_ongoing_requests=options.max_queue,
        max_queued_requests=options.max_queue,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.target_requests,
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
            "look_back_period_s": _LOOK_BACK_S,
        },
        request_router_config={"request_router_class": ROUTER},
        ray_actor_options={"num_cpus": options.cpus},
        user_config={},
        graceful_shutdown_timeout_s=options.drain_s,
        max_constructor_retry_count=_TRIES,
        max_surge_percent=_SURGE_PERCENT,
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    return deployment.bind(options, logs)
