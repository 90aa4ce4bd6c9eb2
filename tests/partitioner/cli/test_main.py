"""The command `splitpoint` as a person or a program meets it: in a process of its own."""

import errno
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from partitioner.cli.main import main
from partitioner.terminal.console import LoggedProgress, complain, notes, run
from partitioner.terminal.folding_table import new_table

Run = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def own_signals() -> Iterator[None]:
    """Leave the handlers of signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def splitpoint(tmp_path: Path) -> Run:
    def call(*words: object) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "from partitioner.cli.main import main; main()",
            *map(str, words),
        ]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The same within this process, which need not load it anew each time."""

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["splitpoint", *map(str, words)])
        with own_signals(), pytest.raises(SystemExit) as ended:
            main()
        told, code = capsys.readouterr(), ended.value.code
        assert code is None or isinstance(code, int)
        return subprocess.CompletedProcess(words, code or 0, told.out, told.err)

    return call


@pytest.fixture
def source(onnx_files: Callable[[str], Path]) -> Path:
    return onnx_files("residual")


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """One JSON document and nothing else on stdout."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_verify_profile_plan(splitpoint: Run, source: Path, tmp_path: Path) -> None:
    made = document(
        splitpoint("import", source, "--out", "net", "--preprocess", "imagenet", "--json")
    )
    assert (made["name"], made["cuts"][0]["id"], made["cuts"][-1]["id"]) == ("net", "cloud", "edge")

    checked = document(splitpoint("verify", "net", "--json"))
    assert checked["ok"]
    assert {"cut", "max_abs_diff", "ok"} <= set(checked["cuts"][0])
    assert [cut["cut"] for cut in checked["cuts"]] == [cut["id"] for cut in made["cuts"]]

    measured = document(splitpoint("profile", "net", "--budget", "1s", "--json"))
    assert measured["edge"]["bundle_digest"] == made["digest"]
    assert (tmp_path / "net" / "profiles" / "edge.json").exists()

    link = ("--bandwidth", "10mbit", "--rtt", "20ms", "--cloud-scale", "0.2")
    planned = document(splitpoint("plan", "net", *link, "--plot", "plan.png", "--json"))
    assert planned["link"] == {"uplink_bps": 10e6, "downlink_bps": 10e6, "rtt_s": 0.02}
    for option in planned["options"]:
        total = option["edge_s"] + option["network_s"] + option["cloud_s"]
        assert option["total_s"] == pytest.approx(total)
        if option["cut"] != "edge":
            bits = 8 * (option["upload_bytes"] + option["download_bytes"])
            assert option["network_s"] == pytest.approx(0.02 + bits / 10e6)
    best = min(planned["options"], key=lambda option: option["total_s"])
    assert planned["best"] == {"cut": best["cut"], "codec": best["codec"]}
    assert (tmp_path / "plan.png").stat().st_size > 10_000

    shown = splitpoint("plan", "net", *link)
    assert "◀" in shown.stdout
    assert "scaled by 0.2" in shown.stderr


def test_inputs_from_files(here: Run, source: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 32, 32), np.float32))
    np.save(tmp_path / "wrong.npy", np.zeros((2, 3, 16, 16), np.float32))
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.png")
    document(here("import", source, "--out", "net", "--samples", "x.npy", "--json"))
    assert document(here("verify", "net", "--data", "x.npy", "--json"))["ok"]
    for name, wanted in (
        ("wrong.npy", "3, 32, 32"),
        ("picture.png", "--preprocess"),
        ("missing.npy", "cannot be read"),
    ):
        done = here("verify", "net", "--data", name, "--json")
        assert done.returncode in (2, 3)
        assert wanted in " ".join(done.stderr.split())
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["import", "missing.onnx", "--out", "net"], 3, "there is no file missing.onnx"),
        (["verify", "nowhere"], 3, "nowhere is no bundle"),
        (["plan", "nowhere", "--bandwidth", "10", "--rtt", "20ms"], 2, "Write bits as 10mbit"),
        (["plan", "nowhere", "--bandwidth", "0mbit", "--rtt", "20ms"], 2, "above 0"),
        (["import", "x.onnx", "--out", "n", "--input", "x"], 2, "NAME=1x3x224x224"),
        (["import", "x.onnx", "--out", "n", "--labels", "none.txt"], 3, "one label a line"),
        (["frobnicate"], 2, "No such command"),
        (
            ["import", "x.onnx", "--out", "n", "--name", ""],
            2,
            "--name is empty. Give a value, or leave",
        ),
        (["import", "x.onnx", "--out", ""], 2, "--out is empty"),
        (["import", "x.onnx", "--out", "n", *("--input", "x=1x3") * 2], 2, "gives 'x' twice"),
        (["verify", "n", "--tolerance", "nan"], 2, "--tolerance nan can never be met"),
        (["profile", "n", "--cloud", "a:b:c"], 3, "n is no bundle"),
        (
            ["plan", "n", "--bandwidth", "1mbit", "--rtt", "0s", "--plot", "no/x.png"],
            *(2, "--plot no/x.png cannot be written: no is no folder"),
        ),
    ],
)
def test_mistake_is_answered_with_a_sentence(
    words: list[str], status: int, sentence: str, here: Run
) -> None:
    done = here(*words)
    assert done.returncode == status
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["import", "verify", "profile", "plan"])
def test_help_has_an_example(command: str, here: Run) -> None:
    done = here(command, "--help")
    assert done.returncode == 0
    assert f"Example: splitpoint {command}" in done.stdout


def test_version_is_printed(here: Run) -> None:
    done = here("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"splitpoint \d+\.\d+\.\d+\n", done.stdout)


def test_nobody_at_the_cloud_is_said(here: Run, source: Path) -> None:
    document(here("import", source, "--out", "net", "--json"))
    done = here("profile", "net", "--cloud", "127.0.0.1:1", "--json")
    assert done.returncode == 4
    assert "no cloud server answers at 127.0.0.1:1" in " ".join(done.stderr.split())


def test_log_hears_how_far_long_work_is(capsys: pytest.CaptureFixture[str]) -> None:
    ends = iter([False, False, True])
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return next(ends)

    bar = LoggedProgress(console=notes, wait=wait, get_time=lambda: 0.0)
    bar.add_task("calibrating cut-03", total=16, completed=3)
    bar.add_task("importing", total=None)
    bar.add_task("cloud", total=0)  # the server has not said yet how many there are
    with bar:
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines == 2 * [
        "calibrating cut-03: 3 of 16, after 0 s", "importing, after 0 s", "cloud, after 0 s",
    ]  # fmt: skip
    assert waits == [5, 5, 5]


def test_what_people_wrote_is_shown_as_they_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    complain("--preprocess 'mean=a:b:c' is not understood: [bold]no[/].")
    assert capsys.readouterr().err == (
        "error: --preprocess 'mean=a:b:c' is not understood: [bold]no[/].\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (MemoryError("no 2 PiB"), 1, "error: this machine has too little memory: no 2 PiB. Give"),
        (OSError(errno.ENOSPC, "Full", "x"), 3, "error: Full (x). Make room, and try again."),
        (OSError(errno.EPERM, "Not you"), 3, "error: Not you.\n"),
    ],
)
def test_error_of_the_machine_is_a_sentence(
    error: Exception, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        raise error

    with own_signals(), pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == status
    assert sentence in capsys.readouterr().err


def test_interrupt_that_a_library_took_for_an_error_of_its_own_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def app() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("cannot import numpy") from None

    with own_signals(), pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_error_that_nobody_foresaw_is_not_hidden() -> None:
    def app() -> None:
        raise RuntimeError("a bug")

    with own_signals(), pytest.raises(RuntimeError, match="a bug"):
        run(app)


def test_table_folds_where_it_would_be_cut_off() -> None:
    table = new_table("title", "cut", "codec", "one", "two", "three", "", "", left=2, keys=2)
    table.add_row("cut-01", "q2", "1111111", "2222222", "3333333", "", "")
    table.add_row("edge", "", "4444444", "5555555", "6666666", "", "<")
    narrow = Console(width=30, file=io.StringIO())
    narrow.print(table)
    lines = [line.split() for line in narrow.file.getvalue().splitlines() if line.strip(" ─")]
    # Edges 1, cut 6, codec 5 and the mark 1, each with 2 behind: 19 of 30 leave room for one of 7 + 2.
    assert lines == [
        ["title"],
        *(["cut", "codec", "one"], ["cut-01", "q2", "1111111"], ["edge", "4444444", "<"]),
        *(["cut", "codec", "two"], ["cut-01", "q2", "2222222"], ["edge", "5555555", "<"]),
        *(["cut", "codec", "three"], ["cut-01", "q2", "3333333"], ["edge", "6666666", "<"]),
    ]
    wide = Console(width=80, file=io.StringIO())
    wide.print(table)
    assert "cut     codec      one      two    three" in wide.file.getvalue()
