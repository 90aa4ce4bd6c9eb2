"""The queue of requests: random histories against its promises, by a clock that the test moves."""

import math
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud_server.engine.batch_queue import BatchQueue, Waiting
from cloud_server.engine.batch_rules import ALONE, BatchRules, QueuePolicy, TimeoutAction
from protos.errors import OverloadedError

US = 1000
"""Nanoseconds in a microsecond."""

DELAYED = QueuePolicy(timeout_action=TimeoutAction.DELAY)
MODELS = {
    "alone": ALONE,
    "eager": BatchRules(max_batch_size=4),
    "patient": BatchRules(max_batch_size=8, preferred_batch_size=(4,), max_queue_delay_us=50),
    "levels": BatchRules(max_batch_size=3, priority_levels=3, default_queue_policy=DELAYED),
    "short": BatchRules(max_batch_size=2, default_queue_policy=QueuePolicy(max_queue_size=3)),
}


def waiting(rules: BatchRules = ALONE, **more: object) -> Waiting:
    known = {"model": "m", "caller": "a", "rows": 1, "nbytes": 10, "cost_s": 1.0, "arrived_ns": 0}
    return Waiting(**{"key": None if rules is ALONE else "k", "rules": rules, **known, **more})  # type: ignore[arg-type]


class Histories(RuleBasedStateMachine):
    """Requests come, are given up, become late and are taken, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: BatchQueue[Waiting] = BatchQueue()
        self.inside: set[Waiting] = set()
        self.now_ns = 0

    @rule(
        model=st.sampled_from(sorted(MODELS)),
        caller=st.sampled_from("abc"),
        rows=st.integers(1, 5),
        level=st.integers(1, 3),
        timeout_us=st.sampled_from([0, 10, 100]),
        remaining_us=st.sampled_from([0, 30, 300]),
    )
    def come(
        self, model: str, caller: str, rows: int, level: int, timeout_us: int, remaining_us: int
    ) -> None:
        rules = MODELS[model]
        one = Waiting(
            model=model, caller=caller, rows=rows, nbytes=7 * rows, cost_s=0.5 * rows, rules=rules,
            arrived_ns=self.now_ns, key=None if rules is ALONE else model, level=level,
            late_ns=self.now_ns + US * timeout_us if timeout_us else math.inf,
            expires_ns=self.now_ns + US * remaining_us if remaining_us else math.inf,
        )  # fmt: skip
        same = [each for each in self.inside if (each.model, each.level) == (model, level)]
        if 0 < rules.policy(level).max_queue_size <= len(same):
            with pytest.raises(OverloadedError, match=r"^3 requests of this priority wait"):
                self.queue.offer(one)
        else:
            self.queue.offer(one)
            self.inside.add(one)

    @rule(us=st.integers(1, 60))
    def pass_time(self, us: int) -> None:
        self.now_ns += US * us

    @rule(pick=st.integers(0, 1000))
    def give_up(self, pick: int) -> None:
        if self.inside:
            known = sorted(self.inside, key=lambda one: one.order)
            one = known[pick % len(known)]
            assert self.queue.withdraw(one)
            assert not self.queue.withdraw(one)
            self.inside.remove(one)

    @rule()
    def expire(self) -> None:
        late = self.queue.expire(self.now_ns)
        for one in late:
            rejects = one.rules.policy(one.level).timeout_action is TimeoutAction.REJECT
            assert one.expires_ns <= self.now_ns or (rejects and one.late_ns <= self.now_ns)
        self.inside -= set(late)
        assert all(one.expires_ns > self.now_ns for one in self.inside)
        assert self.queue.alarm_ns() > self.now_ns

    @rule()
    def take(self) -> None:
        before = {one: one.order for one in self.inside}
        taken = self.queue.take(self.now_ns)
        assert set(taken) <= self.inside
        self.inside -= set(taken)
        if not taken:
            # Only those may wait that want company, and whose time has not come.
            assert all(one.rules.max_queue_delay_us for one in self.inside)
            assert self.queue.ready_ns() > self.now_ns or not self.inside
            return
        first = taken[0]
        assert {one.key for one in taken} == {first.key}
        rows = sum(one.rows for one in taken)
        assert len(taken) == 1 or (first.key is not None and rows <= first.rules.max_batch_size)
        # Nobody with the same tail, nor of a tail that does not wait, was before the first.
        rivals = [one for one in self.inside if one.key == first.key or not _waits(one)]
        assert all(before[first] < before[one] for one in rivals)
        assert [before[one] for one in taken] == sorted(before[one] for one in taken)

    @invariant()
    def counts_are_those_of_what_is_inside(self) -> None:
        queue = self.queue
        assert queue.requests == len(self.inside)
        assert queue.rows == sum(one.rows for one in self.inside)
        assert queue.nbytes == sum(one.nbytes for one in self.inside)
        assert queue.cost_s == pytest.approx(sum(one.cost_s for one in self.inside))
        assert set(queue) == self.inside

    def teardown(self) -> None:
        assert set(self.queue.clear()) == self.inside
        assert self.queue.requests == 0


def _waits(one: Waiting) -> bool:
    return one.rules.max_queue_delay_us > 0


TestHistories = Histories.TestCase


def test_batch_of_a_preferred_size_waits_for_no_more() -> None:
    rules = BatchRules(max_batch_size=8, preferred_batch_size=(2, 4), max_queue_delay_us=100)
    queue: BatchQueue[Waiting] = BatchQueue()
    queue.offer(waiting(rules))
    assert queue.take(0) == []
    assert queue.ready_ns() == 100 * US
    for _ in range(5):
        queue.offer(waiting(rules))
    assert [len(queue.take(0)) for _ in range(3)] == [4, 2, 0]


def test_batch_that_is_full_or_has_waited_is_taken_whatever_its_size() -> None:
    rules = BatchRules(max_batch_size=4, max_queue_delay_us=100)
    queue: BatchQueue[Waiting] = BatchQueue()
    for rows in (3, 2, 1):
        queue.offer(waiting(rules, rows=rows))
    assert [one.rows for one in queue.take(0)] == [3]  # the next one does not fit
    assert queue.take(100 * US - 1) == []
    assert [one.rows for one in queue.take(100 * US)] == [2, 1]


def test_request_larger_than_a_batch_is_computed_alone() -> None:
    queue: BatchQueue[Waiting] = BatchQueue()
    rules = BatchRules(max_batch_size=4)
    for rows in (9, 1):
        queue.offer(waiting(rules, rows=rows))
    assert [one.rows for one in queue.take(0)] == [9]
    assert [one.rows for one in queue.take(0)] == [1]


def test_greedy_caller_waits_behind_itself_alone() -> None:
    queue: BatchQueue[Waiting] = BatchQueue()
    for _ in range(50):
        queue.offer(waiting(caller="greedy"))
    queue.take(0)
    queue.offer(waiting(caller="modest"))
    assert "modest" in [queue.take(0)[0].caller for _ in range(2)]


def test_caller_that_comes_later_is_owed_nothing_of_what_others_got_before() -> None:
    queue: BatchQueue[Waiting] = BatchQueue()
    for _ in range(20):
        queue.offer(waiting(caller="early"))
    for _ in range(10):
        queue.take(0)
    for _ in range(10):
        queue.offer(waiting(caller="later"))
    served = [queue.take(0)[0].caller for _ in range(10)]
    assert 4 <= served.count("early") <= 6


def test_all_start_alike_once_nobody_has_waited() -> None:
    queue: BatchQueue[Waiting] = BatchQueue()
    for _ in range(5):
        queue.offer(waiting(caller="busy"))
    while queue.take(0):
        pass
    for caller in ("busy", "other"):
        queue.offer(waiting(caller=caller))
    assert queue.take(0)[0].caller == "busy"  # it came first


def test_queue_of_a_level_takes_as_many_as_its_policy_says() -> None:
    rules = BatchRules(
        priority_levels=2,
        default_queue_policy=QueuePolicy(max_queue_size=2),
        priority_queue_policy={1: QueuePolicy(max_queue_size=1)},
    )
    queue: BatchQueue[Waiting] = BatchQueue()
    for level, fits in ((1, 1), (2, 2)):
        for _ in range(fits):
            queue.offer(waiting(rules, level=level))
        with pytest.raises(OverloadedError, match=f"^{fits} requests? of this priority"):
            queue.offer(waiting(rules, level=level))
    queue.take(0)
    queue.offer(waiting(rules, level=1))  # its place is free again


def test_request_that_is_computed_alone_does_not_wait_for_company() -> None:
    rules = BatchRules(max_queue_delay_us=100)
    queue: BatchQueue[Waiting] = BatchQueue()
    for _ in range(2):
        queue.offer(waiting(rules, key=None))
    assert [len(queue.take(0)) for _ in range(3)] == [1, 1, 0]


def test_request_that_was_delayed_is_dropped_when_nobody_waits_for_it_any_more() -> None:
    rules = BatchRules(default_queue_policy=DELAYED)
    queue: BatchQueue[Waiting] = BatchQueue()
    one = waiting(rules, late_ns=10, expires_ns=20)
    queue.offer(one)
    assert queue.expire(10) == []
    assert queue.alarm_ns() == 20
    assert queue.expire(20) == [one]


def test_late_request_that_is_delayed_goes_behind_all_of_its_level_and_is_computed() -> None:
    policy = QueuePolicy(timeout_action=TimeoutAction.DELAY)
    rules = BatchRules(priority_levels=2, default_queue_policy=policy)
    queue: BatchQueue[Waiting] = BatchQueue()
    late, low = waiting(rules, late_ns=10, level=1), waiting(rules, level=2)
    queue.offer(late)
    queue.offer(low)
    assert queue.expire(10) == []
    fresh = waiting(rules, level=1)
    queue.offer(fresh)
    assert [queue.take(10)[0] for _ in range(3)] == [fresh, late, low]


def test_alarms_of_requests_that_were_taken_are_dropped_with_their_bytes() -> None:
    queue: BatchQueue[Waiting] = BatchQueue()
    queue.offer(waiting(late_ns=1e12))  # never empty
    for _ in range(1000):
        queue.offer(waiting(caller="b", late_ns=1e12))
        queue.offer(waiting(caller="b", late_ns=1e12))
        for _ in range(2):
            queue.take(0)
        queue.offer(waiting(caller="b", late_ns=1e12))
    assert queue.requests == 1001
    assert len(queue._alarms) <= 2 * queue.requests + 65


@pytest.mark.parametrize(
    ("asked", "levels", "default", "level"),
    [
        (1, 3, 2, 1),
        (3, 3, 2, 3),
        (0, 3, 2, 2),
        (4, 3, 2, 2),
        (0, 3, 0, 3),
        (1, 0, 0, 1),
        (7, 0, 0, 1),
    ],
)
def test_level_is_the_one_asked_for_if_there_is_one(
    asked: int, levels: int, default: int, level: int
) -> None:
    rules = BatchRules(priority_levels=levels, default_priority_level=default)
    assert rules.level(asked) == level


def test_timeout_of_a_request_may_only_be_shorter() -> None:
    policy = QueuePolicy(default_timeout_us=100)
    assert [policy.timeout_us(asked) for asked in (0, 50, 200, -1)] == [100, 50, 100, 100]
    assert replace(policy, default_timeout_us=0).timeout_us(200) == 200
    assert replace(policy, allow_timeout_override=False).timeout_us(50) == 100
