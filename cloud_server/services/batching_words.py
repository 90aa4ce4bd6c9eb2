"""The rules of batching in the words of Triton's ModelConfig."""

from cloud_server.engine.batch_rules import BatchRules, QueuePolicy, TimeoutAction
from cloud_server.engine.rule_book import RuleBook
from cloud_server.models.version import Model
from protos import inference_pb2 as oip
from protos.serving.answers import ServedModel
from protos.triton.model_config import UNBATCHED, Batching


class BatchingWords:
    """Says how the requests of a served model are batched, as its rules are written."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules

    def __call__(self, served: ServedModel) -> Batching:
        """Return what ModelConfig says of a model of the store."""
        return batching_of(self._rules.written(served)) if isinstance(served, Model) else UNBATCHED


def batching_of(rules: BatchRules) -> Batching:
    """Return what ModelConfig says of these rules; nothing where each request is computed alone."""
    if rules.max_batch_size <= 1:
        return UNBATCHED
    levels = rules.priority_queue_policy.items()
    return Batching(
        rules.max_batch_size,
        oip.ModelDynamicBatching(
            preferred_batch_size=rules.preferred_batch_size,
            max_queue_delay_microseconds=rules.max_queue_delay_us,
            priority_levels=rules.priority_levels,
            default_priority_level=rules.default_priority_level,
            default_queue_policy=_policy(rules.default_queue_policy),
            priority_queue_policy={level: _policy(policy) for level, policy in levels},
        ),
    )


def _policy(policy: QueuePolicy) -> oip.ModelQueuePolicy:
    words = oip.ModelQueuePolicy
    delays = policy.timeout_action is TimeoutAction.DELAY
    return words(
        timeout_action=words.DELAY if delays else words.REJECT,
        default_timeout_microseconds=policy.default_timeout_us,
        allow_timeout_override=policy.allow_timeout_override,
        max_queue_size=policy.max_queue_size,
    )
