"""The images' recipe: what is in them, what is not, and how they run."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPE = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
TRIM = runpy.run_path(str(ROOT / "docker" / "trim.py"))
SITE_PACKAGES = Path(pytest.__file__).parent.parent


def stages() -> dict[str, list[str]]:
    """Return the steps of every stage by its name."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^(?=FROM )", RECIPE, flags=re.MULTILINE)[1:]:
        lines = [line for line in part.splitlines() if line and not line.startswith("#")]
        found[lines[0].rpartition(" AS ")[2]] = lines
    return found


def image(target: str) -> list[str]:
    """Return the steps of a target, with those of the stages that it starts from."""
    steps = stages()[target]
    base = steps[0].split()[1]
    return steps if base == "${BASE}" else image(base) + steps[1:]


def test_images_are_built_from_every_package() -> None:
    with (ROOT / "pyproject.toml").open("rb") as project:
        packages = tomllib.load(project)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for package in packages:
        assert f"COPY {package} {package}" in stages()["wheel"]
        assert f"!{package}" in sent


def test_base_is_pinned_by_its_digest_in_an_argument() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", RECIPE, re.MULTILINE)
    known = {"${BASE}"}
    for name, steps in stages().items():
        assert steps[0].split()[1] in known
        known.add(name)


@pytest.mark.parametrize("target", ["edge", "cloud"])
def test_image_has_what_was_installed_elsewhere_and_no_tool_to_install(target: str) -> None:
    run = [step for step in image(target) if step.startswith("RUN ")]
    assert not [step for step in run if re.search(r"\b(pip|apt-get|apt|gcc)\b", step)]
    assert [step for step in run if "docker/bare.py" in step]
    copied = [step for step in image(target) if step.startswith("COPY ")]
    assert all(step.startswith(f"COPY --from={target}-") for step in copied)


@pytest.mark.parametrize("target", ["edge", "cloud"])
def test_image_runs_as_no_root_is_asked_for_health_and_ends_by_sigterm(target: str) -> None:
    steps = image(target)
    assert [step for step in steps if step.startswith("USER ")][-1] == "USER splitpoint"
    assert "STOPSIGNAL SIGTERM" in steps
    assert [step for step in steps if step.startswith("HEALTHCHECK ")]
    [entry] = [step for step in steps if step.startswith("ENTRYPOINT ")]
    assert entry == f'ENTRYPOINT ["splitpoint-{target}"]', (
        "the program is PID 1, with no shell before it"
    )
    [labels] = [step for step in steps if step.startswith("LABEL ")]
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels


def test_every_installation_is_held_against_hashes() -> None:
    for step in re.split(r"&&|\n", RECIPE):
        if re.search(r"pip\b.* install\b", step):
            assert "--require-hashes -r " in re.sub(r"\s+", " ", step) or "wheels/*.whl" in step


@pytest.mark.parametrize("pattern", [*TRIM["UNUSED"], *TRIM["SYMBOLS"]])
def test_what_images_leave_out_is_still_there_to_be_left_out(pattern: str) -> None:
    assert next(SITE_PACKAGES.glob(pattern), None), "nothing has this name any more: take it out"


def test_no_program_loads_what_images_leave_out() -> None:
    modules = [
        pattern.rstrip("*").replace("/", ".") for pattern in TRIM["UNUSED"] if "**" not in pattern
    ]
    code = (
        "import sys, edge_client.cli.run_loop, edge_client.cli.serve_loop, edge_client.cli.fetch\n"
        "import edge_client.relay.player, cloud_server.cli.serve_loop, cloud_server.rest.web\n"
        "import partitioner.profiles.profiler\n"
        f"found = [name for name in {modules} if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
