"""What ModelConfig says of batching is what the rules say, in Triton's words."""

import pytest

from cloud_server.engine.batch_rules import BatchRules, QueuePolicy, TimeoutAction
from cloud_server.server import CloudServer
from cloud_server.services.batching_words import batching_of
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelConfig, ModelConfigRequest
from tests.kit.cloud_calls import connected, oip_stub


def config_of(server: CloudServer, name: str) -> ModelConfig:
    with connected(server.address) as channel:
        config: ModelConfig = oip_stub(channel).ModelConfig(ModelConfigRequest(name=name)).config
    return config


def test_every_rule_has_its_word() -> None:
    rules = BatchRules(
        max_batch_size=8,
        preferred_batch_size=(2, 4),
        max_queue_delay_us=500,
        priority_levels=2,
        default_priority_level=2,
        default_queue_policy=QueuePolicy(TimeoutAction.DELAY, 100, False, 7),
        priority_queue_policy={1: QueuePolicy(max_queue_size=3)},
    )
    found = batching_of(rules)
    assert found.max_batch_size == 8
    assert found.rules is not None
    said = found.rules
    assert list(said.preferred_batch_size) == [2, 4]
    assert said.max_queue_delay_microseconds == 500
    assert (said.priority_levels, said.default_priority_level) == (2, 2)
    policy = said.default_queue_policy
    assert policy.timeout_action == policy.DELAY
    assert policy.default_timeout_microseconds == 100
    assert not policy.allow_timeout_override
    assert policy.max_queue_size == 7
    first = said.priority_queue_policy[1]
    assert (first.timeout_action, first.max_queue_size) == (first.REJECT, 3)


@pytest.mark.parametrize(("rows", "dims"), [(1, [-1, 3, 32, 32]), (8, [3, 32, 32])])
def test_dims_lack_the_batch_where_the_server_batches(
    residual_bundle: Bundle, rows: int, dims: list[int]
) -> None:
    with CloudServer(residual_bundle.path, max_batch_size=rows) as server:
        config = config_of(server, "residual")
        tail = config_of(server, "residual.cut-01")
    assert config.max_batch_size == (0 if rows == 1 else rows)
    assert config.HasField("dynamic_batching") is (rows > 1)
    assert list(config.input[0].dims) == dims
    assert len(tail.input[0].dims) == len(residual_bundle.cut("cut-01").frontier[0].shape) - (
        rows > 1
    )
