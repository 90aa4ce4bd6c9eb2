"""What the tests of simulate share: a profile with round numbers, and a tram."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app
from partitioner.profiles.profile import CutProfile, Profile
from tests.kit.documents import Simulate
from tests.kit.profiles import MACHINE, codec, stage


@pytest.fixture
def measured(residual_bundle: Bundle, tmp_path: Path) -> Path:
    """A profile of the bundle with round numbers: the whole model takes 100 ms, cut by cut."""
    names = list(residual_bundle.cuts)
    cuts = {}
    for place, name in enumerate(names):
        share = place / (len(names) - 1)
        crossing = round(40_000 * (1 - share))
        cuts[name] = CutProfile(
            head=stage(0.1 * share) if share else None,
            tail=stage(0.1 * (1 - share)) if share < 1 else None,
            frontier_bytes=crossing,
            download_bytes=500 if crossing else 0,
            codecs={"raw": codec(crossing, 0.001 if crossing else 0, 0.001 if crossing else 0)},
        )
    profile = Profile(
        splitpoint="0", bundle=residual_bundle.name, bundle_digest=residual_bundle.digest,
        machine=MACHINE, measured_at="2026-01-01T00:00:00+00:00", inputs="given", cuts=cuts,
    )  # fmt: skip
    path = tmp_path / "edge.json"
    profile.save(path)
    return path


@pytest.fixture
def simulate(residual_bundle: Bundle, measured: Path, tmp_path: Path) -> Simulate:
    def call(what: str, *words: object) -> Result:
        profiles = ["--edge", str(measured), "--cloud-scale", "0.1"]
        line = ["simulate", what, str(residual_bundle.path), *map(str, words), *profiles]
        return CliRunner().invoke(app, line)

    return call


@pytest.fixture
def tram(tmp_path: Path) -> Path:
    path = tmp_path / "tram.txt"
    path.write_text("".join(f"{second} {8 if second % 20 < 10 else 0.8}\n" for second in range(60)))
    return path
