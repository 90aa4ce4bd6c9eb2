"""`serving.toml`: what it says in Triton's words, what it leaves to options, and what is wrong with it."""

import shutil
from pathlib import Path

import pytest

from cloud_server.engine.batch_rules import BatchRules, QueuePolicy, TimeoutAction
from cloud_server.engine.serving_file import rules_by_cut
from cloud_server.options import ServerOptions
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SERVING_FILE
from protos.errors import BundleError, UsageError

DEFAULT = BatchRules(max_batch_size=8, preferred_batch_size=(4, 8), max_queue_delay_us=100)


def rules(bundle: Bundle, text: str) -> dict[str, BatchRules]:
    (bundle.path / SERVING_FILE).write_text(text)
    return dict(rules_by_cut(bundle, DEFAULT))


def test_without_a_file_the_options_hold_for_every_tail(residual_bundle: Bundle) -> None:
    found = rules_by_cut(residual_bundle, DEFAULT)
    assert set(found) == set(residual_bundle.cuts) - {"edge"}
    assert all(each == DEFAULT for each in found.values())


def test_file_goes_before_the_options_and_a_cut_before_all(own_bundle: Bundle) -> None:
    found = rules(
        own_bundle,
        """
        max_batch_size = 6
        [dynamic_batching]
        max_queue_delay_microseconds = 500
        priority_levels = 3
        default_priority_level = 2
        [dynamic_batching.default_queue_policy]
        timeout_action = "DELAY"
        default_timeout_microseconds = 7000
        max_queue_size = 5
        [dynamic_batching.priority_queue_policy.1]
        max_queue_size = 2
        [cuts.cut-02]
        max_batch_size = 2
        [cuts.cut-02.dynamic_batching]
        preferred_batch_size = [2]
        """,
    )
    policy = QueuePolicy(TimeoutAction.DELAY, 7000, max_queue_size=5)
    urgent = QueuePolicy(TimeoutAction.DELAY, 7000, max_queue_size=2)
    common = BatchRules(6, (4,), 500, 3, 2, policy, {1: urgent})
    assert found["cloud"] == common
    assert found["cut-02"] == BatchRules(2, (2,), 500, 3, 2, policy, {1: urgent})
    assert found["cloud"].policy(1) == urgent
    assert found["cloud"].policy(2) == policy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size = 0", "max_batch_size: 0 should be greater than 0"),
        ("max_batch_size = '4'", "max_batch_size: '4' should be a whole number"),
        ("max_batch = 4", "max_batch: there is no such field"),
        ("[cuts.cut-99]\nmax_batch_size = 4", "it names the cut 'cut-99'; this bundle has"),
        ("max_batch_size =", "Invalid value"),
        ("[dynamic_batching]\npreserve_ordering = true", "True should be False"),
        (
            "[dynamic_batching]\ndefault_priority_level = 2",
            "there is no `default_priority_level` 2",
        ),
        ("[dynamic_batching]\npreferred_batch_size = [99]", "`preferred_batch_size` of 99 is over"),
        ("[dynamic_batching.priority_queue_policy.high]", "'high' is no level"),
        ("[dynamic_batching.default_queue_policy]\ntimeout_action = 'drop'", "'REJECT' or 'DELAY'"),
    ],
)
def test_file_that_is_wrong_is_named_with_what_is_wrong(
    own_bundle: Bundle, text: str, said: str
) -> None:
    with pytest.raises(BundleError) as caught:
        rules(own_bundle, text)
    assert said in str(caught.value)
    assert str(own_bundle.path / SERVING_FILE) in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * ((1 << 20) + 1), b"a = 1\na = 2"])
def test_file_that_is_no_toml_is_an_error_of_that_file(own_bundle: Bundle, data: bytes) -> None:
    (own_bundle.path / SERVING_FILE).write_bytes(data)
    with pytest.raises(BundleError, match=r"serving\.toml cannot be used"):
        rules_by_cut(own_bundle, DEFAULT)


def test_file_changes_nothing_of_the_bundle(own_bundle: Bundle) -> None:
    digest = own_bundle.digest
    rules(own_bundle, "max_batch_size = 4")
    assert Bundle.load(own_bundle.path).digest == digest


def test_options_say_the_same_and_are_checked_together() -> None:
    options = ServerOptions(
        "bundles", max_batch_size=4, preferred_batch_size=(2,), max_queue_delay_us=9,
        priority_levels=3, default_priority_level=2, timeout_action="delay", default_timeout_us=7,
        allow_timeout_override=False, max_queue_size=5,
    )  # fmt: skip
    policy = QueuePolicy(TimeoutAction.DELAY, 7, False, 5)
    assert BatchRules.of(options) == BatchRules(4, (2,), 9, 3, 2, policy)
    with pytest.raises(UsageError, match="`preferred_batch_size` of 9 is over"):
        BatchRules.of(ServerOptions("bundles", preferred_batch_size=(9,)))


@pytest.fixture
def own_bundle(residual_bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "own"))
