"""`splitpoint search` and `splitpoint tiers` in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app
from partitioner.graph.cuts import find_cuts
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import find_profiles
from partitioner.search.explorer import graph_of
from protos.errors import ProfileError, UsageError
from tests.kit.models import inception, save
from tests.kit.profiles import steady


def splitpoint(*words: object) -> subprocess.CompletedProcess[str]:
    code = "from partitioner.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def here(*words: object) -> None:
    """Run the command in this process."""
    app([str(word) for word in words], standalone_mode=False)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Imported with one cut; with fixed times, as on a busy machine other cuts would survive."""
    folder = tmp_path_factory.mktemp("search")
    made = import_model(
        save(inception(), folder / "net.onnx"), folder / "net", ImportOptions(max_cuts=1)
    )
    steady(made).save(made.profiles / "edge.json")
    return made.path


SLOW = ("--edge-scale", "1000", "--cloud-scale", "10", "--rtt", "1ms")


def test_search_shows_then_adds_and_times_what_is_missing(bundle: Path, tmp_path: Path) -> None:
    digest = Bundle.load(bundle).digest
    shown = document(
        splitpoint("search", bundle, *SLOW, "--dry-run", "--bandwidth", "1mbit", "--json")
    )
    missing = [one for one in shown["survivors"] if one["cut"] is None]
    assert missing
    assert shown["bundle"]["digest"] == Bundle.load(bundle).digest == digest
    assert shown["best"]["total_s"] > 0

    words = ("search", bundle, *SLOW, "--out", tmp_path / "more", "--budget", "1s")
    done = splitpoint(*words, "--json")
    found = document(done)
    assert f"Next: splitpoint calibrate {tmp_path / 'more'} --data" in done.stderr
    assert Bundle.load(bundle).digest == digest
    assert found["bundle"]["digest"] == Bundle.load(tmp_path / "more").digest != digest
    added = [one for one in found["survivors"] if one["added"]]
    assert [one["after"] for one in added] == [one["after"] for one in missing]
    assert all(one["measured"]["edge_s"] > 0 for one in added)

    more = Bundle.load(tmp_path / "more")
    edge, cloud = find_profiles(more, edge_scale=1000, cloud_scale=10)
    planned = {option.cut for option in plan(more, Link(1e6, 1e6, 0.001), edge, cloud).options}
    assert {one["cut"] for one in added} <= planned


def test_tiers_price_two_cuts_on_two_links(bundle: Path) -> None:
    links = ("--near-link", "100mbit,2ms", "--cloud-link", "5mbit/20mbit,30ms")
    words = ("tiers", bundle, *links, "--edge-scale", "500", "--near-scale", "50")
    found = document(splitpoint(*words, "--cloud-scale", "1", "--json"))
    assert found["links"][1] == {"uplink_bps": 5e6, "downlink_bps": 20e6, "rtt_s": 0.03}
    assert [found["profiles"][role]["scale"] for role in found["profiles"]] == [500, 50, 1]
    assert found["best"]["total_s"] == min(option["total_s"] for option in found["options"])
    anywhere = found["best_of_all_cuts"]
    alone = found["best_by_machines"][0]
    here = Profile.load(bundle / "profiles/edge.json")
    assert 0 < anywhere["total_s"] <= 500 * (here.resume_s + sum(here.node_s or ())) * (1 + 1e-9)
    assert len(anywhere["compute_s"]) == 3
    assert alone["first"] == alone["second"] == "edge"


def test_search_and_tiers_say_what_was_scaled_and_not_measured(bundle: Path) -> None:
    done = splitpoint("search", bundle, *SLOW, "--dry-run")
    said = " ".join(done.stderr.split())
    assert "the edge's times are measured on" in said
    assert "and scaled by 1e+03." in said
    assert "and scaled by 10." in said
    links = ("--near-link", "100mbit,2ms", "--cloud-link", "5mbit,30ms")
    done = splitpoint("tiers", bundle, *links, "--near-scale", "50", "--cloud-scale", "1")
    said = " ".join(done.stderr.split())
    assert "the near edge's times are measured on" in said
    assert "the device's times" not in said


@pytest.mark.parametrize("rate", ["10kbit", "300kbit", "1mbit", "30mbit", "1gbit"])
def test_search_and_plan_name_the_same_option_on_a_link(
    bundle: Path, rate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*SLOW, "--bandwidth", rate, "--json")
    here("plan", bundle, *words)
    planned = json.loads(capsys.readouterr().out)["best"]
    here("search", bundle, *words, "--dry-run")
    found = json.loads(capsys.readouterr().out)
    assert {name: found["best"][name] for name in ("cut", "codec")} == planned
    assert found["lacking"] is None or found["lacking"]["total_s"] < found["best"]["total_s"]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--bits", "none"), "--bits 'none' is no number above 0"),
        (("--cloud-load", "1,0"), "--cloud-load '0' is no number above 0"),
    ],
)
def test_search_refuses_flags_without_meaning(
    bundle: Path, flags: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(UsageError, match=wanted):
        here("search", bundle, *flags)


@pytest.mark.parametrize(
    ("near_link", "near_scale", "wanted"),
    [
        ("9mbit,1ms", None, "--near-scale 0.5"),
        ("9mbit", 1.0, "'9mbit' is no link"),
        ("9mbit,1ms", 0.0, "--near-scale 0.0 has no meaning"),
        ("9mbit,1ms", -1.0, "--near-scale -1.0 has no meaning"),
    ],
)
def test_tiers_refuse_flags_without_meaning(
    bundle: Path, near_link: str, near_scale: float | None, wanted: str
) -> None:
    scale = () if near_scale is None else ("--near-scale", near_scale)
    with pytest.raises(UsageError, match=wanted):
        here("tiers", bundle, "--near-link", near_link, "--cloud-link", "9mbit,1ms", *scale)


def test_profile_without_nodes_is_to_be_measured_again(bundle: Path, tmp_path: Path) -> None:
    old = Profile.load(bundle / "profiles" / "edge.json").model_copy(update={"node_s": None})
    old.save(tmp_path / "old.json")
    with pytest.raises(ProfileError, match="Measure it again"):
        here("search", bundle, "--edge", tmp_path / "old.json", "--cloud-scale", 0.2)


def test_demo_bundle_can_be_searched_and_keeps_what_was_found_at_its_cuts() -> None:
    demo = Bundle.load(Path(__file__).parents[3] / "examples" / "digits" / "bundle")
    cuts = [{spec.name for spec in cut.frontier} for cut in demo.manifest.cuts]
    assert [set(found.frontier) for found in find_cuts(graph_of(demo))] == cuts
    assert graph_of(demo).flops == demo.manifest.flops
    assert demo.calibration is not None
    assert demo.exits is not None


def test_search_that_finds_nothing_says_so(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here("search", bundle, "--cloud-scale", 1, "--rtt", "60s", "--bits", "raw", "--dry-run")
    shown = capsys.readouterr()
    assert "cuts that some link" not in shown.out
    assert "one of its ends always is" in shown.out


def test_tables_fit_a_terminal(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here("search", bundle, *SLOW, "--dry-run")
    links = ("--near-link", "100mbit,2ms", "--cloud-link", "5mbit,30ms")
    here("tiers", bundle, *links, "--edge-scale", 500, "--near-scale", 50, "--cloud-scale", 1)
    shown = capsys.readouterr().out
    assert "◀" in shown
    assert "…" not in shown, shown
