"""Options of tails on a cluster: an engine's, and how many replicas of it there are.

Light, so that `--help` can read it.
"""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from cloud_server.engine_options import EngineOptions, at_least_one
from partitioner.common.nearest import nearest
from partitioner.settings.declaration import make, option, writable
from partitioner.settings.kinds import TIME, count, number
from partitioner.settings.panels import CLUSTER, RUNTIME
from protos.errors import UsageError


@dataclass(frozen=True)
class ClusterOptions(EngineOptions):
    """The options of tails on a cluster; the folder of bundles is what each node calls so."""

    _: KW_ONLY
    workers: int = option(
        1,
        "Inferences that run at the same time in one replica, which takes workers times threads CPUs of its "
        "node.",
        count(),
        panel=RUNTIME,
        holds=at_least_one,
        wrong="{} workers serve nobody. Give 1 or more.",
    )
    min_replicas: int = option(
        1,
        "Replicas that are always there, spread over the nodes.",
        count(),
        panel=CLUSTER,
        holds=at_least_one,
        wrong="{} replicas serve nobody. Give 1 or more.",
    )
    max_replicas: int = option(
        1,
        "Replicas that there are at most, however many requests come.",
        count(),
        panel=CLUSTER,
        holds=at_least_one,
        wrong="{} replicas serve nobody. Give 1 or more.",
    )
    target_requests: float = option(
        2.0,
        "Requests inside a replica, computed or waiting, from which on there are to be more replicas; with "
        "fewer there are to be less.",
        number("N"),
        panel=CLUSTER,
        holds=lambda requests: 0 < requests < math.inf,
        wrong="{:g} requests are no target. Give more than 0.",
    )
    upscale_delay_s: float = option(
        5.0,
        "How long there have to be too many requests before replicas are added.",
        TIME,
        panel=CLUSTER,
        holds=lambda seconds: seconds > 0,
        wrong="{:g} s is no delay. Give more than 0.",
    )
    downscale_delay_s: float = option(
        300.0,
        "How long there have to be too few requests before replicas are taken away.",
        TIME,
        panel=CLUSTER,
        holds=lambda seconds: seconds > 0,
        wrong="{:g} s is no delay. Give more than 0.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_replicas < self.min_replicas:
            raise UsageError(
                f"at most {self.max_replicas} and at least {self.min_replicas} replicas cannot be. Raise "
                "`max_replicas`, or lower `min_replicas`."
            )

    @property
    def cpus(self) -> int:
        """What a replica takes of its node."""
        return self.workers * self.threads


def read_options(written: Mapping[str, Any]) -> ClusterOptions:
    """Return options from what a file says of them, as `max-message: 64MiB`.

    Raises UsageError, which names what is wrong.
    """
    known = {one.key: one for one in writable(ClusterOptions)}
    found = {key.replace("-", "_"): value for key, value in written.items()}
    for key in found:
        if key not in known:
            raise UsageError(
                f"there is no setting {key!r}. The nearest is {nearest(key, known)}; there are: "
                f"{', '.join(known)}."
            )
    if "bundles" not in found:
        raise UsageError("bundles is missing. Give the folder of bundles as each node has it.")
    values = {known[key].name: known[key].read(value, key) for key, value in found.items()}
    return make(ClusterOptions, values)
