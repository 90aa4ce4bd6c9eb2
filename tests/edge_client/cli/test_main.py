"""The command `splitpoint-edge`: what it prints, writes and ends with."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from edge_client.cli.main import app
from edge_client.cli.settings import load_settings, parse_link
from edge_client.cloud.file_pieces import inside, write_files
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from protos.errors import (
    BundleError,
    FileError,
    SourceError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from protos.inference_pb2 import ModelInferRequest
from protos.splitpoint_pb2 import FetchBundleResponse
from tests.kit.fake_cloud import FakeCloud, error_answer
from tests.kit.frames import whole

runner = CliRunner()
FRAME_KEYS = {
    "frame", "source", "served_by", "reason", "cut", "codec", "latency_s", "edge_s", "upload_bytes",
    "download_bytes", "network_s", "queue_s", "cloud_s", "wait_s", "top1",
}  # fmt: skip


@pytest.fixture(scope="module")
def address(image_bundle: Bundle) -> Iterator[str]:
    with CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as server:
        yield server.address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def right_classes(bundle: Bundle, folder: Path) -> dict[str, int]:
    (spec,) = bundle.inputs
    return {
        path.name: int(np.argmax(next(iter(whole(bundle, {spec.name: image}).values()))))
        for path in sorted(folder.iterdir())
        for image in [np.asarray(Image.open(path))[np.newaxis]]
    }


def invoke(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_a_line_a_frame_and_the_summary_last(
    image_bundle: Bundle, address: str, folder: Path, tmp_path: Path
) -> None:
    classes = right_classes(image_bundle, folder)
    labels = tmp_path / "labels.csv"
    wrong = (classes["5.png"] + 1) % 10
    rows = [f"{name},class-{index}" for name, index in classes.items() if name != "5.png"]
    labels.write_text("\n".join(["file,label", *rows, f"5.png,{wrong}"]) + "\n")
    (folder / "broken.jpg").write_bytes(b"?")
    done = invoke(
        "run", "--cloud", address, "--bundle", image_bundle.path, "--source", folder,
        "--cut", "cut-03", "--labels", labels, "--output", tmp_path / "out.jsonl", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    *records, last = lines(done.stdout)
    assert lines((tmp_path / "out.jsonl").read_text()) == [*records, last]
    assert [record["frame"] for record in records] == list(range(6))
    assert {frozenset(record) for record in records} == {frozenset(FRAME_KEYS)}
    for record in records:
        index = classes[record["source"]]
        assert (record["top1"]["index"], record["top1"]["label"]) == (index, f"class-{index}")
    summary = last["summary"]
    assert summary["frames"] == 6
    assert summary["served_by"] == {"cloud": 6}
    assert summary["unreadable"] == 1
    assert summary["accuracy"] == pytest.approx(5 / 6)
    assert summary["cuts"] == {"cut-03/raw": 6}
    assert summary["failed"] == summary["dropped"] == 0
    assert set(summary["latency_s"]) == {"p50", "p95", "mean"}


def test_people_get_a_table(image_bundle: Bundle, address: str, folder: Path) -> None:
    done = invoke(
        "run", "--cloud", address, "--bundle", image_bundle.path, "--source", folder,
        "--cut", "cloud", "--codec", "jpeg", "--max-frames", 2,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "image: 2 frames" in done.stdout
    assert "latency p95" in done.stdout
    assert "cloud/jpeg-75" in done.stdout


def test_cut_edge_runs_without_a_server(image_bundle: Bundle, folder: Path) -> None:
    done = invoke(
        "run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge", "--json"
    )
    assert done.exit_code == 0, done.output
    assert lines(done.stdout)[-1]["summary"]["served_by"] == {"edge": 6}


def test_every_result_renews_the_heartbeat(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    beat = tmp_path / "beat"
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge", "--json")
    done = invoke(*words, "--heartbeat", beat)
    assert done.exit_code == 0
    assert beat.exists()


def test_heartbeat_that_cannot_beat_is_said_before_any_frame(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge", "--json")
    done = invoke(*words, "--heartbeat", "/nonexistent/h", "--output", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert isinstance(done.exception, UsageError)
    assert "--heartbeat /nonexistent/h cannot be touched: No such file" in str(done.exception)
    assert done.stdout == ""


def test_full_disk_is_a_sentence_after_the_summary(image_bundle: Bundle, folder: Path) -> None:
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge")
    done = invoke(*words, "--output", "/dev/full", "--json")
    assert isinstance(done.exception, FileError)
    assert "--output /dev/full takes no more: No space left" in str(done.exception)
    assert lines(done.stdout)[-1]["summary"]["frames"] == 1
    table = invoke(*words, "--output", "/dev/full")
    assert isinstance(table.exception, FileError)
    assert "image: 1 frames" in table.stdout


def test_output_of_the_last_run_survives_a_server_that_is_away(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("the last run\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        done = invoke(
            "run", "--cloud", nobody, "--bundle", image_bundle.path, "--source", folder,
            "--cut", "cloud", "--output", tmp_path / "out.jsonl", "--on-failure", "fail",
        )  # fmt: skip
    assert isinstance(done.exception, UnreachableError)
    assert (tmp_path / "out.jsonl").read_text() == "the last run\n"


def test_frames_are_finished_here_while_nobody_is_at_the_address(
    image_bundle: Bundle, folder: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        done = invoke(
            "run", "--cloud", nobody, "--bundle", image_bundle.path, "--source", folder,
            "--cut", "cut-02", "--json", "--deadline", "20s", "--memory", "300MB",
        )  # fmt: skip
    *records, last = lines(done.stdout)
    assert {record["served_by"] for record in records} == {"edge"}
    assert last["summary"]["fallbacks"] == {"cloud unreachable": len(records)}
    assert "Until it comes, frames are finished on this device." in done.stderr


def test_missed_deadlines_are_counted_explained_and_no_success(
    image_bundle: Bundle, folder: Path
) -> None:
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge")
    done = invoke(*words, "--json", "--deadline", "1us")
    summary = lines(done.stdout)[-1]["summary"]
    assert done.exit_code == 1
    assert (summary["failed"], summary["deadline"]["missed"]) == (6, 6)
    assert "error: 6 of 6 frames missed the deadline of 1.00 µs" in done.stderr
    assert "splitpoint exits train" in done.stderr
    assert invoke(*words, "--json", "--deadline", "60s").exit_code == 0


async def test_run_in_which_some_frames_failed_has_a_status_of_its_own(
    image_bundle: Bundle, folder: Path
) -> None:
    answered = []

    async def once(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        if answered:
            return error_answer(header, grpc.StatusCode.INTERNAL, "not again.")
        answered.append(header.id)
        return await FakeCloud(image_bundle).infer(header, raw)

    async with FakeCloud(image_bundle, once) as cloud:
        words = ("run", "--cloud", cloud.address, "--bundle", image_bundle.path, "--json")
        more = ("--source", folder, "--cut", "cut-03", "--on-failure", "fail")
        done = await asyncio.to_thread(invoke, *words, *more)
    assert lines(done.stdout)[-1]["summary"]["served_by"] == {"cloud": 1, "none": 5}
    assert done.exit_code == 7


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--deadline", "0ms"), "a deadline of 0ms cannot be met"),
        (("--deadline", "soon"), "'soon' is not a duration"),
        (("--memory", "much"), "'much' is not a size"),
        (("--cut", "edge", "--adapt"), "needs a server"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    image_bundle: Bundle, folder: Path, flags: tuple[str, ...], words: str
) -> None:
    done = invoke("run", "--bundle", image_bundle.path, "--source", folder, *flags)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


def test_source_that_breaks_off_ends_with_the_summary_and_its_error(
    image_bundle: Bundle, tmp_path: Path
) -> None:
    arrays = io.BytesIO()
    for number in range(2):
        np.save(arrays, np.full((1, 32, 32, 3), number, np.uint8))
    done = subprocess.run(
        command("run", "--bundle", image_bundle.path, "--source", "-", "--cut", "edge", "--json",
                "--output", tmp_path / "out.jsonl"),
        input=arrays.getvalue()[:-8], capture_output=True, check=False,
    )  # fmt: skip
    *records, last = lines(done.stdout.decode())
    assert [record["frame"] for record in records] == [0]
    assert last["summary"]["frames"] == 1
    assert lines((tmp_path / "out.jsonl").read_text()) == [*records, last]
    assert done.returncode == 3
    assert b"error: " in done.stderr
    assert b"breaks off" in done.stderr
    assert b"Traceback" not in done.stderr


async def test_server_restarted_with_another_bundle_costs_the_command_no_frame(
    image_bundle: Bundle, folder: Path
) -> None:
    async def other(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        return error_answer(header, grpc.StatusCode.FAILED_PRECONDITION, "not this one.")

    async with FakeCloud(image_bundle, other) as cloud:
        words = ("run", "--cloud", cloud.address, "--bundle", image_bundle.path, "--json")
        more = ("--source", folder, "--cut", "cut-03")
        finished = await asyncio.to_thread(invoke, *words, *more)
        failed = await asyncio.to_thread(invoke, *words, *more, "--on-failure", "fail")
    assert (finished.exit_code, failed.exit_code) == (0, 1)
    assert lines(finished.stdout)[-1]["summary"]["served_by"] == {"edge": 6}
    assert lines(failed.stdout)[-1]["summary"]["served_by"] == {"none": 6}


def test_settings_come_from_flags_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('cloud = "file:1"\ncut = "cut-file"\nwindow = 7\nbundle = "b"\nsource = 0\n')
    monkeypatch.setenv("SPLITPOINT_EDGE_CLOUD", "env:1")
    monkeypatch.setenv("SPLITPOINT_EDGE_CUT", "cut-env")
    settings = load_settings(file, cloud="flag:1", cut=None)
    assert (settings.cloud, settings.cut, settings.window) == ("flag:1", "cut-env", 7)
    assert settings.source == "0"
    assert settings.timeout_s == 10.0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"source": "x"}, "--bundle is missing. Give it, or set SPLITPOINT_EDGE_BUNDLE"),
        ({"bundle": "b", "source": "x", "window": 0}, "--window is wrong"),
        ({"bundle": "b", "source": "x", "on_failure": "cry"}, "--on-failure is wrong"),
        ({"bundle": "b", "source": "x", "colour": "red"}, "no setting 'colour'"),
    ],
)
def test_wrong_setting_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_settings(None, **given)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"window", b"window = [\n"])
def test_settings_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"settings file .*edge.toml cannot be read: "):
        load_settings(tmp_path / "edge.toml", bundle="b", source="x")


def test_wrong_setting_is_shown() -> None:
    with pytest.raises(
        UsageError, match="--window is wrong: .* greater than or equal to 1, and -3 was"
    ):
        load_settings(None, bundle="b", source="x", window=-3)


def test_metrics_port_in_use_is_said_before_anything_is_measured_or_written(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    records = tmp_path / "last.jsonl"
    records.write_text("of the last run")
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--output", records)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = ("--cloud", "127.0.0.1:1", "--cut", "cut-03", "--on-failure", "fail")
        port = f"127.0.0.1:{taken.getsockname()[1]}"
        done = invoke(*words, *nobody, "--metrics", port)  # whom nobody answers either
    assert isinstance(done.exception, UsageError)
    assert "Choose another --metrics" in str(done.exception)
    assert records.read_text() == "of the last run"


def test_heartbeat_is_a_file(image_bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge")
    done = invoke(*words, "--heartbeat", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert "cannot be touched: Is a directory. Give a file" in str(done.exception)


def test_wrong_units_are_named() -> None:
    for given in ({"link": "fast"}, {"timeout": "0s"}, {"timeout": "soon"}):
        with pytest.raises(UsageError, match=r"no link|leaves no time|not a duration"):
            load_settings(None, bundle="b", source="x", **given)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("10mbit,20ms", Link(10e6, 10e6, 0.02)),
        ("10mbit/50mbit,20ms", Link(10e6, 50e6, 0.02)),
        ("10Mbit/s/50Mbit/s,1s", Link(10e6, 50e6, 1.0)),
        ("2MB/s,0ms", Link(16e6, 16e6, 0.0)),
        ("measure", None),
    ],
)
def test_links_are_read_as_people_write_them(text: str, link: Link | None) -> None:
    assert parse_link(text) == link


def command(*arguments: object) -> list[str]:
    code = "from edge_client.cli.main import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@contextmanager
def running(*arguments: object) -> Iterator[Any]:
    """The command as a process, with its three streams; killed if a test fails before it ends."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command(*arguments), text=True, **streams) as process:  # type: ignore[call-overload]
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def test_interrupt_ends_with_the_summary_of_what_was_done(
    image_bundle: Bundle, folder: Path
) -> None:
    with running(
        "run", "--bundle", image_bundle.path, "--source", "-", "--cut", "edge", "--json"
    ) as run:
        run.stdin.write(f"{folder / '0.png'}\n")
        run.stdin.flush()
        first = run.stdout.readline()
        run.send_signal(signal.SIGINT)  # while stdin blocks, for ever
        last = run.stdout.readline()
        notes = run.stderr.read()
    assert run.returncode == 130, notes
    assert "Traceback" not in notes
    assert notes.count("interrupted") == 1
    assert json.loads(first)["frame"] == 0
    assert json.loads(last)["summary"]["frames"] == 1


def test_errors_are_sentences_and_exit_statuses(image_bundle: Bundle, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command("run", "--cloud", nobody, "--bundle", image_bundle.path, "--source", folder,
                    "--cut", "cloud", "--on-failure", "fail"),
            capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "500"},
        )  # fmt: skip
    assert done.returncode == 4
    assert f"error: no cloud server answers at {nobody}" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_run_in_which_every_frame_failed_is_a_failure(image_bundle: Bundle, folder: Path) -> None:
    with CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as server:
        done = invoke(
            "run", "--cloud", server.address, "--bundle", image_bundle.path, "--source", folder,
            "--cut", "cut-03", "--timeout", "1us", "--on-failure", "fail", "--json",
        )  # fmt: skip
    assert done.exit_code == 1
    *records, last = lines(done.stdout)
    assert {record["served_by"] for record in records} == {"none"}
    assert last["summary"]["failed"] == 6
    assert last["summary"]["latency_s"] is None


def test_source_without_one_readable_frame_is_an_error(
    image_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"?")
    done = invoke("run", "--bundle", image_bundle.path, "--source", tmp_path, "--cut", "edge")
    assert isinstance(done.exception, SourceError)
    assert "(1 could not be read)" in str(done.exception)


def test_fetched_bundle_is_the_servers(image_bundle: Bundle, address: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "copy"
    done = invoke("fetch", image_bundle.name, "--cloud", address, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == image_bundle.digest
    assert Bundle.load(out).digest == image_bundle.digest
    again = invoke("fetch", image_bundle.name, "--cloud", address, "--out", out)
    assert isinstance(again.exception, UsageError)
    missing = invoke("fetch", "nothing", "--cloud", address, "--out", tmp_path / "x")
    assert isinstance(missing.exception, UnknownNameError)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]  # nothing half-written
    assert [path.name for path in out.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", "a\\..\\x", "a\0b", "..", "graphs/.."]
)
def test_file_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BundleError, match="lies outside"):
        inside(tmp_path, path)


def test_file_that_is_longer_than_announced_is_refused(tmp_path: Path) -> None:
    pieces = [FetchBundleResponse(path="a", size_bytes=3, chunk=b"ab")] * 2
    with pytest.raises(BundleError, match="more of a than the 3 bytes"):
        write_files(tmp_path, pieces, lambda *_: None)


def test_probe_prints_the_link(address: str) -> None:
    done = invoke("probe", "--cloud", address, "--json")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) == {"uplink_bps", "downlink_bps", "rtt_s", "rtt_min_s"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_link_relays_until_it_is_told_to_stop(address: str, number: signal.Signals) -> None:
    with running(
        "link", "--listen", "127.0.0.1:0", "--to", address, "--bandwidth", "100mbit", "--json"
    ) as relay:
        ready = json.loads(relay.stdout.readline())
        assert invoke("probe", "--cloud", ready["listen"]).exit_code == 0
        relay.send_signal(number)
        notes = relay.stderr.read()
    assert (relay.returncode, notes) == (0, "")


@pytest.mark.parametrize("name", ["run", "fetch", "probe", "link"])
def test_help_shows_an_example(name: str) -> None:
    assert f"Example: splitpoint-edge {name}" in " ".join(invoke(name, "--help").stdout.split())
