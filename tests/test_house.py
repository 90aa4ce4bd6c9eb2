"""Rules of the house that no linter knows."""

import ast
import itertools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("protos", "partitioner", "edge_client", "cloud_server", "splitpoint")
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "_pb2" not in path.name
)
ROOMS = sorted({path.parent.relative_to(ROOT) for path in MODULES} - {Path("splitpoint")})
"""The packages and their sub-packages; `splitpoint` is their front door, and no room."""
MOST_MODULES = 13
NOUNS = (
    "timing",
    "preprocessing",
    "spending",
    "greeting",
    "framing",
    "batching",
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imported(module: Path) -> list[str]:
    """Return the full names of the modules that `module` imports from."""
    tree = ast.parse(module.read_text())
    plain = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    return plain + [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a checkout of git")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_product_code_checks_its_input_with_errors_not_asserts(module: Path) -> None:
    tree = ast.parse(module.read_text())
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert asserts == []


def test_edge_and_cloud_never_import_each_other() -> None:
    others = {"edge_client": "cloud_server", "cloud_server": "edge_client"}
    for package, other in others.items():
        for module in (ROOT / package).rglob("*.py"):
            assert not re.search(rf"^\s*(from|import) {other}\b", module.read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_tests_share_stands_in_the_kit_and_in_no_test(module: Path) -> None:
    others = [name for name in imported(module) if name.startswith("tests.")]
    assert [name for name in others if not re.match(r"tests\.kit(\.|$)", name)] == []


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_room_is_one_sentence_and_few_modules_that_nouns_name(room: Path) -> None:
    modules = [path.stem for path in MODULES if path.parent == ROOT / room]
    modules.remove("__init__")
    assert len(modules) <= MOST_MODULES, "find the room within it"
    assert [name for name in modules if name.endswith("ing") and name not in NOUNS] == []
    said = ast.parse((ROOT / room / "__init__.py").read_text())
    assert len(said.body) == 1
    assert ast.get_docstring(said)


def test_tests_have_the_rooms_of_the_packages() -> None:
    """A room within a room may leave its tests to the larger one."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in TESTS}
    assert {room for room in ROOMS if len(room.parts) <= 2} - folders == set()
    assert folders - {*ROOMS, Path(), Path("kit"), Path("splitpoint")} == set()


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_file_of_tests_names_a_module_of_its_room(room: Path) -> None:
    """And after it, perhaps, what of that module: `test_completion_heads_only`."""
    modules = {path.stem for path in (ROOT / room).iterdir() if path.suffix in ("", ".py")}
    named = [path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")]
    assert [
        name
        for name in named
        if not any(name == module or name.startswith(f"{module}_") for module in modules)
    ] == []


COUNTED = re.compile(
    r" (?:bytes|bits|frames|cuts|options|inputs|outputs|requests|points|nodes|values|samples|items|exits|"
    r"runs|pixels|numbers|channels|threads|cores|snapshots|machines|links|loads|devices|workers|policies|fields|"
    r"labels|layers|files|classes|images|arrays|rows|lines|parts|heads|tails|streams|results|medians|boxes)\b(?!/)"
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_number_stands_before_its_noun_by_plural_alone(module: Path) -> None:
    """Else it says `1 frames`. A constant is no 1; what has decimals is plural: `1.00 points`."""
    found = []
    for text in (
        n for n in ast.walk(ast.parse(module.read_text())) if isinstance(n, ast.JoinedStr)
    ):
        for number, noun in itertools.pairwise(text.values):
            if not isinstance(number, ast.FormattedValue) or not isinstance(noun, ast.Constant):
                continue
            said = ast.unparse(number.value)
            words = isinstance(number.value, ast.Call | ast.IfExp)
            counted = not words or said.startswith(("len(", "sum(", "math.prod(", "abs("))
            is_name = said.isupper() or said in ("which", "whose")
            decimals = number.format_spec is not None and "f" in ast.unparse(number.format_spec)[2:]
            if COUNTED.match(str(noun.value)) and counted and not decimals and not is_name:
                found.append(f"line {number.lineno}: {said}{noun.value[:20]}")
    assert found == []


def test_no_path_of_a_machine_is_committed() -> None:
    found = []
    for path in tracked():
        if path.name == "Dockerfile" or path.suffix in (
            ".py",
            ".md",
            ".toml",
            ".txt",
            ".yml",
            ".json",
            ".proto",
            ".onnx",
            ".sh",
        ):
            text = path.read_bytes()
            if re.search(rb"/(root|work|home|farm|Users)/[\w.]", text):
                found.append(path.name)
    assert found == []


@pytest.mark.parametrize("room", [room for room in ROOMS if len(room.parts) == 2], ids=str)
def test_map_of_the_architecture_says_what_each_room_says_of_itself(room: Path) -> None:
    sentence = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
    rows = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    assert f"| `{room.name}/` | {sentence} |" in rows
