"""What the cloud keeps of what edges report."""

import pytest

from cloud_server.observability.edge_book import EdgeBook
from protos.errors import UsageError
from protos.telemetry import MAX_SNAPSHOT_BYTES, MAX_SNAPSHOTS
from tests.kit.clocks import FakeClock
from tests.kit.snapshots import snapshot


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (["{"], "a snapshot is no telemetry: the document: Invalid JSON"),
        ([snapshot(upload_bytes=-1)], "upload_bytes: Input should be greater than or equal to 0"),
        ([snapshot(upload_bytes=10**400)], "upload_bytes: "),
        ([snapshot(served_by={"cloud": -1})], "served_by.cloud: "),
        ([snapshot(edge="x" * 65)], "edge: String should have at most 64"),
        ([snapshot(edge="a\nb")], "edge: String should match"),
        ([snapshot(time_s=float("nan"))], "time_s: Input should be"),
        ([snapshot(), snapshot(health="fine")], "health: Input should be 'healthy'"),
        ([snapshot(reason="x" * MAX_SNAPSHOT_BYTES)], "over the limit of 16,384"),
        ([snapshot()] * (MAX_SNAPSHOTS + 1), "65 snapshots came at once, and 64 are taken"),
    ],
)
async def test_bad_telemetry_is_refused_whole(documents: list[str], words: str) -> None:
    book = EdgeBook()
    with pytest.raises(UsageError, match=words):
        await book.take(documents)
    assert not list(book.newest())


async def test_cloud_keeps_the_newest_of_the_last_edges() -> None:
    clock = FakeClock()
    book = EdgeBook(capacity=2, clock=clock)
    heard: list[str] = []
    book.on_news = lambda snapshots: heard.extend(seen.edge for seen in snapshots)
    await book.take([snapshot("a", 1), snapshot("a", 2), snapshot("a", 1)])
    assert [seen.number for seen in book.newest()] == [2]
    clock.now_s += 200
    await book.take([snapshot("b"), snapshot("c")])
    assert [seen.edge for seen in book.newest()] == ["a", "b"]  # a was heard of just now
    assert heard[-1] == "c"
    clock.now_s += 100
    await book.take([snapshot("c", 1), snapshot("d")])
    assert [seen.edge for seen in book.newest()] == ["b", "c"]
    await book.take([snapshot("b", 0, started_s=9.0)])  # it has started again
    assert [seen.started_s for seen in book.newest() if seen.edge == "b"] == [9.0]
    await book.take([snapshot("b", 0, started_s=3.0)])  # and again, after its clock went back
    assert [seen.started_s for seen in book.newest() if seen.edge == "b"] == [3.0]


async def test_edge_takes_no_other_edges_place_by_many_bundles() -> None:
    book = EdgeBook(capacity=20)
    await book.take([snapshot("a")])
    await book.take([snapshot("b", bundle=f"made-up-{number}") for number in range(50)])
    assert [seen.edge for seen in book.newest()] == ["a"] + ["b"] * 8
    assert [seen.bundle for seen in book.newest()][-1] == "made-up-49"


async def test_device_reports_under_its_own_name_alone() -> None:
    book = EdgeBook()
    await book.take([snapshot("cam-1"), snapshot("cam-2", 1)], device="thief")
    assert [(seen.edge, seen.number) for seen in book.newest()] == [("thief", 1)]
