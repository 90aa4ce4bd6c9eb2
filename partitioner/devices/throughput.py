"""How fast a device computes, by kind of operator, and what a model's nodes then take."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from partitioner.common.frozen_model import FrozenModel
from partitioner.graph.work import NodeWork, WorkKind


class Throughput(FrozenModel):
    """What a device reaches with float32 models on so many threads: a roofline for each kind of operator."""

    threads: int = Field(default=1, ge=1, le=1024)
    on: Literal["cpu", "gpu"] = "cpu"
    """What computes; codecs run on the CPU in either case."""
    dense_gflops: float = Field(ge=1e-6, le=1e9)
    """Convolutions over all channels, products of matrices."""
    depthwise_gflops: float = Field(ge=1e-6, le=1e9)
    """Convolutions of one or few channels at a time."""
    memory_gb_s: float = Field(ge=1e-6, le=1e9)
    """10^9 bytes a second that operators read and write which do little else; for the others a bound."""
    node_us: float = Field(default=0.0, ge=0, le=1e6)
    """Microseconds that any operator takes besides."""
    low: float = Field(default=0.5, gt=0, le=1)
    high: float = Field(default=2.0, ge=1, le=1e3)
    """Times may really be `low` to `high` times as long."""

    @model_validator(mode="after")
    def _depthwise_is_slower(self) -> Self:
        if self.depthwise_gflops > self.dense_gflops:
            raise ValueError("depthwise_gflops cannot be above dense_gflops")
        return self

    def node_s(self, work: NodeWork) -> float:
        """Return what one node takes: its arithmetic or its bytes, whichever takes longer."""
        if not work.moved_bytes:
            return 0.0
        moving_s = work.moved_bytes / (1e9 * self.memory_gb_s)
        return max(moving_s, self._arithmetic_s(work)) + 1e-6 * self.node_us

    def total_s(self, works: Sequence[NodeWork]) -> float:
        """Return what nodes take one after the other."""
        return sum(map(self.node_s, works))

    def _arithmetic_s(self, work: NodeWork) -> float:
        if work.kind is WorkKind.DENSE:
            return work.flops / (1e9 * self.dense_gflops)
        if work.kind is WorkKind.DEPTHWISE:
            return work.flops / (1e9 * self.depthwise_gflops)
        return 0.0
