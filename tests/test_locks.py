"""The locks of the images: every file has its hash, and versions and packages are those of the project."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.16",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What markers are asked about: the interpreter of the images, whatever runs the tests."""
RENEW = "run make locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = {
    "edge": PROJECT["project"]["dependencies"],
    "cloud": PROJECT["project"]["dependencies"]
    + PROJECT["project"]["optional-dependencies"]["cloud"],
}
LOCKS = ("build", "edge-cpu", "edge-gpu", "cloud-cpu", "cloud-gpu")


def entries(lock: str) -> list[str]:
    """Return the requirements of a lock, each on one line with its hashes."""
    text = (ROOT / "docker" / "locks" / f"{lock}.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def pins(lines: list[str]) -> dict[str, str]:
    """Return the versions of what an image takes of these lines."""
    found = {}
    for line in lines:
        name, _, rest = line.partition("==")
        version, _, marker = rest.split("--hash")[0].partition(";")
        if not marker or Marker(marker).evaluate(IMAGE):
            found[canonicalize_name(name)] = version.strip()
    return found


def closure(needed: list[str]) -> set[str]:
    """Return the names of all that these need, as the installed packages say."""
    found, open_ends = set(), [Requirement(text) for text in needed]
    while open_ends:
        requirement = open_ends.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            below = [Requirement(text) for text in requires(name) or ()]
            asked = {**IMAGE, "extra": extra}
            open_ends += [
                each for each in below if each.marker is None or each.marker.evaluate(asked)
            ]
    return {name for name, _ in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_that_an_image_is_built_from_has_its_hash(lock: str) -> None:
    for entry in entries(lock):
        assert re.fullmatch(
            r"[\w.-]+==[\w.]+( ; [^-]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry
        ), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_have_the_versions_that_tests_run_with(lock: str) -> None:
    tested = pins((ROOT / "constraints.txt").read_text().splitlines()[1:])
    locked = pins(entries(lock))
    assert {name: locked[name] for name in locked.keys() & tested} == {
        name: tested[name] for name in locked.keys() & tested
    }, RENEW


@pytest.mark.parametrize("side", NEEDED)
def test_lock_has_all_that_a_side_needs_and_nothing_else(side: str) -> None:
    assert pins(entries(f"{side}-cpu")).keys() == closure(NEEDED[side]), RENEW


@pytest.mark.parametrize("side", NEEDED)
def test_locked_versions_are_those_that_the_project_allows(side: str) -> None:
    locked = pins(entries(f"{side}-cpu"))
    for requirement in map(Requirement, NEEDED[side]):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), RENEW
    built_with = pins(entries("build"))
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(built_with[canonicalize_name(requirement.name)]), (
            RENEW
        )


@pytest.mark.parametrize("side", NEEDED)
def test_image_for_gpus_differs_in_its_runtime_alone(side: str) -> None:
    cpu, gpu = pins(entries(f"{side}-cpu")), pins(entries(f"{side}-gpu"))
    of_the_gpu = {name for name in gpu if name.startswith("nvidia-")} | {"onnxruntime-gpu"}
    assert gpu["onnxruntime-gpu"] == cpu["onnxruntime"], RENEW
    assert {name: gpu[name] for name in gpu.keys() - of_the_gpu} == {
        name: cpu[name] for name in cpu.keys() - {"onnxruntime"}
    }, RENEW
