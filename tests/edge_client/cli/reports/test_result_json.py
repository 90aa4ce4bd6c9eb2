"""A frame's result as a JSON line."""

from dataclasses import replace

from edge_client.cli.reports.interpretation import Interpretation
from edge_client.cli.reports.result_json import record_of
from edge_client.frames.result import Hedged, Result, ServedBy, Timings
from partitioner.bundle.bundle import Bundle


def test_record_says_when_a_frame_was_hedged_and_who_was_first(residual_bundle: Bundle) -> None:
    meaning = Interpretation(residual_bundle, labelled=False)
    served = Result(0, {}, ServedBy.EDGE, "", "cut-03", "raw", 100, 0, Timings(0.2, 0.1))
    assert record_of(served, "", 0.0, meaning)["hedged"] is None
    ours = replace(served, hedged=Hedged(0.085, 0.06, device_first=True))
    assert record_of(ours, "", 0.0, meaning)["hedged"] == {
        "after_s": 0.085,
        "expected_s": 0.06,
        "first": "device",
        "dropped_s": 0.0,
    }
    theirs = replace(served, hedged=Hedged(0.03, None, device_first=False, dropped_s=0.02))
    found = record_of(theirs, "", 0.0, meaning)["hedged"]
    assert (found["expected_s"], found["first"], found["dropped_s"]) == (None, "cloud", 0.02)


def test_record_says_which_server_has_served_where_there_are_several(
    residual_bundle: Bundle,
) -> None:
    meaning = Interpretation(residual_bundle, labelled=False)
    served = Result(0, {}, ServedBy.CLOUD, "", "cut-03", "raw", 100, 0, Timings(0.2, 0.1))
    assert "server" not in record_of(served, "", 0.0, meaning)
    by_b = replace(served, server="b:50051")
    assert record_of(by_b, "", 0.0, meaning)["server"] == "b:50051"
