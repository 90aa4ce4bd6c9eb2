"""Which tails earn sessions of their own."""

from cloud_server.models.popularity import Popularity


def asked(times: dict[str, int]) -> Popularity:
    found = Popularity()
    for cut, count in times.items():
        for _ in range(count):
            found.note(cut)
    return found


def test_place_goes_to_who_is_asked_for_twice_as_much() -> None:
    assert asked({"a": 10, "b": 19}).makes_way("b", {"a"}) is None
    assert asked({"a": 10, "b": 20}).makes_way("b", {"a"}) == "a"
    assert asked({"a": 10, "c": 7, "b": 20}).makes_way("b", {"a", "c"}) == "c"


def test_nobody_makes_way_for_a_single_use_or_where_nobody_has_a_place() -> None:
    assert asked({"b": 1}).makes_way("b", {"a"}) is None
    assert asked({"b": 99}).makes_way("b", ()) is None


def test_what_was_asked_for_long_ago_counts_less_and_less() -> None:
    """After ten thousand uses of another, some two thousand are ahead of what thousands once were."""
    found = asked({"a": 2000, "b": 10_000})
    assert found.makes_way("b", {"a"}) == "a"
    assert found.makes_way("a", {"b"}) is None


def test_place_is_looked_at_now_and_then() -> None:
    found = Popularity()
    assert sum(found.note("a") for _ in range(320)) == 10
