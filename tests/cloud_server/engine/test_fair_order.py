"""Fair turns: the bound that the paper proves, in rounds of random costs, and who is owed what."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cloud_server.engine.fair_order import FairOrder

COSTS = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=40)


@given(greedy=COSTS, modest=COSTS)
def test_two_who_always_wait_differ_by_no_more_than_their_largest_pieces(
    greedy: list[float], modest: list[float]
) -> None:
    order = FairOrder()
    waiting = [(order.place("greedy", cost), "greedy", cost) for cost in greedy]
    waiting += [(order.place("modest", cost), "modest", cost) for cost in modest]
    waiting.sort(key=lambda entry: entry[0])
    left, got = Counter({"greedy": len(greedy), "modest": len(modest)}), Counter[str]()
    for place, caller, cost in waiting:
        order.serve(place)
        got[caller] += cost  # type: ignore[assignment]
        left[caller] -= 1
        if all(left.values()):  # both still have work waiting
            assert abs(got["greedy"] - got["modest"]) <= max(greedy) + max(modest) + 1e-9


def test_who_comes_late_is_next_and_not_behind_all_that_a_greedy_one_has_waiting() -> None:
    order = FairOrder()
    places = [order.place("greedy", 1.0) for _ in range(100)]
    assert places == [float(at) for at in range(100)]
    order.serve(places[0])
    order.serve(places[1])
    late = order.place("modest", 1.0)
    assert places[1] <= late < places[2]


def test_who_was_idle_is_owed_nothing() -> None:
    order = FairOrder()
    for _ in range(50):
        order.serve(order.place("busy", 1.0))
    first, second = order.place("idle", 1.0), order.place("idle", 1.0)
    assert (first, second) == (49.0, 50.0)  # now, and behind itself
    assert order.place("busy", 1.0) == 50.0


def test_callers_that_are_owed_nothing_are_forgotten() -> None:
    order = FairOrder()
    for number in range(5000):
        order.serve(order.place(f"stream {number}", 1e-9) + number)
    assert len(order._ends) <= 1025
    order.rest()
    assert order.place("busy", 1.0) == 0.0
