"""Engines as data: costs that are fitted to what was measured, and files that tell of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.devices.citation import citation_of
from partitioner.simulation.sizing.engine import MeasuredRequest, fit
from partitioner.simulation.sizing.engines import (
    engine_names,
    engines_of,
    load_engine,
    read_engines,
)
from protos.errors import FileError, UnknownNameError

ROWS = ((0.001, 50e3), (0.005, 50e3), (0.0, 200e3), (0.0, 800e3))


@given(st.floats(0, 0.01), st.floats(0, 1e-8), st.floats(1, 2))
def test_fit_finds_the_cost_that_made_the_measurements(
    fixed_s: float, byte_s: float, factor: float
) -> None:
    measured = [
        MeasuredRequest(
            tail_s=tail_s,
            request_bytes=size,
            request_cpu_s=1e-5 + fixed_s + byte_s * size + factor * tail_s,
        )
        for tail_s, size in ROWS
    ]
    found = fit(measured)
    for one in measured:
        beyond_s = found.beyond_s(one.tail_s, one.request_bytes)
        assert one.tail_s + beyond_s == pytest.approx(one.request_cpu_s, rel=1e-6)
    assert found.error is not None
    assert found.error < 1e-6


def test_nothing_of_a_cost_is_negative_and_one_row_tells_no_error() -> None:
    # More bytes that cost less: no cost of bytes explains it best, and the error says how badly.
    falling = [
        MeasuredRequest(tail_s=0, request_bytes=size, request_cpu_s=cpu_s)
        for size, cpu_s in ((1e3, 0.002), (1e6, 0.001))
    ]
    found = fit(falling)
    assert (found.byte_s, found.compute_factor) == (0, 1)
    assert 0.001 < found.fixed_s < 0.002
    assert found.error == pytest.approx(max(found.fixed_s / 0.001 - 1, 1 - found.fixed_s / 0.002))
    (row,) = (MeasuredRequest(tail_s=0.005, request_bytes=1e3, request_cpu_s=0.007),)
    alone = fit([row])
    assert alone.fixed_s == pytest.approx(0.002)
    assert alone.error is None


@pytest.mark.parametrize("name", engine_names())
def test_engine_that_we_know_says_who_measured_it_and_is_near_that(name: str) -> None:
    engine = load_engine(name)
    cited = citation_of(engine.sources, "measured")
    assert cited
    assert cited.kind == "measured"
    assert citation_of(engine.sources, "turns")
    assert citation_of(engine.sources, "codecs")
    assert engine.process_bytes is None or citation_of(engine.sources, "process_bytes")
    assert not engine.pooled or citation_of(engine.sources, "pooled")
    # Where two rows tell of one request between which it ranges, the fit lies between them.
    ranges = len({(one.tail_s, one.request_bytes) for one in engine.measured}) < len(
        engine.measured
    )
    assert engine.cost.error is not None
    assert engine.cost.error < (0.6 if ranges else 0.15)


def test_measured_engine_takes_the_place_of_one_that_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    rows = [
        {"engine": "mine", "tail_s": 0.001, "request_bytes": 100, "request_cpu_s": 0.002},
        {
            "engine": "triton",
            "tail_s": 0,
            "request_bytes": 100,
            "request_cpu_s": 0.004,
            "turns": 0.5,
        },
        {
            "engine": "mine",
            "tail_s": 0.005,
            "request_bytes": 100,
            "request_cpu_s": 0.006,
            "codecs": ["raw", "jpeg-90"],
        },
    ]
    path.write_text(json.dumps(rows))
    found = {engine.name: engine for engine in engines_of(["all"], path)}
    assert set(found) == {*engine_names(), "mine"}
    assert found["triton"].cost.fixed_s == 0.004
    assert found["triton"].turns == 0.5
    assert found["triton"].codecs == load_engine("triton").codecs
    assert found["mine"].codecs == ("raw", "jpeg-90")
    assert found["mine"].decodes("jpeg-90")
    assert not found["mine"].decodes("jpeg-75")
    assert found["mine"].cost.fixed_s == pytest.approx(0.001)
    assert [engine.name for engine in engines_of([], path)] == ["mine", "triton"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "it is no list of rows"),
        ("{}", "it is no list of rows"),
        ("[{", "tells of no engines"),
        ('[{"engine": "x"}]', "tail_s: it is missing"),
        (
            '[{"engine": "x", "tail_s": 0, "request_bytes": 1, "request_cpu_s": -1}]',
            "request_cpu_s: -1 should be greater than 0",
        ),
        (
            '[{"engine": "x", "tail_s": 0, "request_bytes": 1, "request_cpu_s": 1, "codecs": ["gif"]}]',
            "there is no codec 'gif'",
        ),
    ],
)
def test_file_that_tells_of_no_engines_is_refused_with_its_fault(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(FileError, match=said):
        read_engines(path)
    with pytest.raises(FileError, match="cannot be read"):
        read_engines(tmp_path / "none.json")


def test_engine_that_nobody_knows_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean triton"):
        engines_of(["tritn"], None)
