"""`import splitpoint` as a program, a notebook and an editor meet it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import splitpoint

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "onnx", "fastapi", "matplotlib", "cloud_server", "typer", "rich")


def python(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_alone_loads_nothing_of_ours_nor_numpy() -> None:
    packages = ("numpy", "pydantic", "grpc", "partitioner", "protos", "edge_client")
    python(
        "-c",
        "import sys, splitpoint\n"
        f"found = [name for name in {packages} if name in sys.modules]\n"
        "assert not found, found",
    )


def test_client_loads_no_planner_of_models_no_server_and_no_command_line() -> None:
    python(
        "-c",
        "import sys; from splitpoint import EdgeClient\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not found, found",
    )


@pytest.mark.parametrize("name", splitpoint.__all__)
def test_name_is_that_of_its_home(name: str) -> None:
    assert getattr(splitpoint, name).__name__ == name


def test_checkers_completion_and_star_see_the_same_names() -> None:
    assert dir(splitpoint) == sorted(splitpoint.__all__)
    tree = ast.parse((ROOT / "splitpoint" / "__init__.py").read_text())
    (typed,) = [
        node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    ]
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert homes == splitpoint._HOMES
    assert sorted(homes) == sorted(splitpoint.__all__)


@pytest.mark.parametrize(("wrong", "near"), [("Bundel", "Bundle"), ("edgeclient", "EdgeClient")])
def test_misspelt_name_is_told_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{wrong}'. The nearest is '{near}'"):
        getattr(splitpoint, wrong)


def test_name_that_is_near_to_none_is_told_all() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'. It has: AsyncEdgeClient, "):
        splitpoint.zzz  # noqa: B018


def test_packages_say_that_they_are_typed() -> None:
    for package in ("protos", "partitioner", "edge_client", "cloud_server", "splitpoint"):
        assert (ROOT / package / "py.typed").exists()


def test_module_runs_as_the_command() -> None:
    assert "Usage: python -m splitpoint" in python("-m", "splitpoint", "--help")
    assert python("-m", "splitpoint", "--version").startswith("splitpoint ")
