"""Live sources: the newest frame counts, and what was dropped is counted."""

import threading
from collections.abc import Iterator

import pytest

from edge_client.sources.live import Newest
from edge_client.sources.pace import Pace
from edge_client.sources.source import Frame, FrameSource, play
from protos.errors import SourceError


def test_live_source_drops_the_oldest_and_counts_it() -> None:
    first_taken, all_offered = threading.Event(), threading.Event()

    def camera() -> object:
        yield 0
        first_taken.wait()
        yield from (1, 2, 3)
        all_offered.set()

    newest: Newest[int] = Newest(camera())  # type: ignore[arg-type]
    frames = iter(newest)
    assert next(frames) == 0
    first_taken.set()
    all_offered.wait()
    assert list(frames) == [3]
    assert newest.dropped == 2


def test_frames_that_were_dropped_count_for_nothing_of_max_frames() -> None:
    first_taken, all_offered = threading.Event(), threading.Event()

    def camera() -> Iterator[Frame]:
        try:
            yield Frame("0", {})
            first_taken.wait()
            yield from (Frame(str(number), {}) for number in (1, 2, 3))
        finally:
            all_offered.set()

    source = FrameSource(camera, live=True)
    frames = play(source, Pace(max_frames=2))
    assert next(frames).source == "0"
    first_taken.set()
    all_offered.wait()
    assert [frame.source for frame in frames] == ["3"]
    assert source.dropped == 2


def test_error_of_a_live_source_is_raised_where_it_is_read() -> None:
    def camera() -> object:
        yield 0
        raise SourceError("unplugged")

    with pytest.raises(SourceError, match="unplugged"):
        list(Newest(camera()))  # type: ignore[arg-type]
