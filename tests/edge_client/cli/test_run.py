"""The command run: a record a frame, a summary, and an exit status."""

import asyncio
import io
import json
import signal
import socket
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from edge_client.cli.main import app
from edge_client.cli.reports.interpretation import Interpretation
from partitioner.bundle.bundle import Bundle
from protos.errors import FileError, SourceError, UnreachableError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.telemetry import Telemetry
from tests.kit.edge_commands import command, invoke, run_edge, running
from tests.kit.exit_models import colours
from tests.kit.fake_cloud import FakeCloud, error_answer
from tests.kit.frames import whole
from tests.kit.observations import CUT

FRAME_KEYS = {
    "frame", "source", "served_by", "reason", "cut", "codec", "version_digest", "latency_s", "edge_s",
    "upload_bytes", "download_bytes", "network_s", "queue_s", "cloud_s", "wait_s", "hedged", "top1",
    "time", "detections", "outputs",
}  # fmt: skip

FRAMES, LABELS = colours(12, seed=3)


def test_run_shows_rules_in_remarks_and_telemetry(residual_bundle: Bundle, source: Path) -> None:
    done = run_edge(
        residual_bundle, source, "--battery", "12%", "--temperature", "none", "--device", "phone",
        "--telemetry", "10s", "--json", "--max-frames", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "power: battery 12 %" in done.stderr
    assert (
        "power: low battery begins, very low battery begins (battery 12 %): at most 5 frames a second"
        in " ".join(done.stderr.split())
    )
    assert "power: the cut is fixed, so no weight changes" in done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    (power,) = [line["telemetry"]["power"] for line in documents if "telemetry" in line]
    assert power == {
        "battery": 0.12, "charging": None, "temperature_c": None,
        "rules": ["low battery", "very low battery"], "energy_factor": 1.0, "max_fps": 5.0,
    }  # fmt: skip


def test_run_of_a_slower_device_says_so_first_and_last(
    residual_bundle: Bundle, source: Path
) -> None:
    done = run_edge(residual_bundle, source, "--slow", 2, "--json", "--max-frames", 1)
    assert done.exit_code == 0, done.output
    first, *_ = done.stderr.splitlines()
    assert first == "a rehearsal: the device is played 2 times as slow as this one"
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["slow"] == 2


@pytest.mark.parametrize("name", ["run", "serve"])
def test_device_cannot_be_played_faster_than_it_is(residual_bundle: Bundle, name: str) -> None:
    words = ["--cut", "edge", "--slow", 0.5] + ["--source", "-"] * (name == "run")
    done = invoke(name, "--bundle", residual_bundle.path, *words)
    assert isinstance(done.exception, UsageError)
    assert "a device 0.5 times as slow as this one cannot be rehearsed" in str(done.exception)


def test_run_writes_telemetry_beside_the_frames_and_sends_it(
    image_bundle: Bundle, tmp_path: Path
) -> None:
    import numpy as np

    (spec,) = image_bundle.inputs
    np.save(tmp_path / "x.npy", np.zeros(spec.sized(), np.uint8))
    with CloudServer(image_bundle.path) as cloud:
        done = CliRunner().invoke(
            app,
            ["run", "--cloud", cloud.address, "--bundle", str(image_bundle.path), "--cut", CUT,
             "--source", str(tmp_path / "x.npy"), "--telemetry", "60min", "--name", "cam-7",
             "--metrics", "127.0.0.1:0", "--json"],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        (seen,) = cloud.edges.newest()
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [next(iter(record)) for record in records] == ["frame", "telemetry", "summary"]
    assert Telemetry.model_validate(records[1]["telemetry"]) == seen
    assert (seen.edge, seen.served_by) == ("cam-7", {"cloud": 1})
    assert seen.stages["network"].total_s > 0


def test_run_without_a_cloud_writes_a_record_for_every_frame(
    held: Bundle, nobody: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "frames.npy", FRAMES)
    words = ["run", "--cloud", nobody, "--bundle", str(held.path), "--json"]
    words += ["--source", str(tmp_path / "frames.npy")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["frame"] for record in records[:-1]] == list(range(len(FRAMES)))
    assert {record["served_by"] for record in records[:-1]} == {"exit"}
    assert records[-1]["summary"]["fallbacks"] == {"cloud unreachable": len(FRAMES)}
    assert "frames get the exit's answer, or none" in " ".join(result.stderr.split())


def right_classes(bundle: Bundle, folder: Path) -> dict[str, int]:
    (spec,) = bundle.inputs
    return {
        path.name: int(np.argmax(next(iter(whole(bundle, {spec.name: image}).values()))))
        for path in sorted(folder.iterdir())
        for image in [np.asarray(Image.open(path))[np.newaxis]]
    }


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


def test_sub_folders_for_each_class_give_the_accuracy(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    for name, index in right_classes(image_bundle, folder).items():
        right = tmp_path / f"class-{index if name != '5.png' else (index + 1) % 10}"
        right.mkdir(exist_ok=True)
        (folder / name).rename(right / name)
    (tmp_path / "notes.txt").touch()
    done = invoke(
        "run", "--bundle", image_bundle.path, "--source", tmp_path, "--cut", "edge", "--json"
    )
    assert done.exit_code == 0, done.output
    assert lines(done.stdout)[-1]["summary"]["accuracy"] == pytest.approx(5 / 6)
    assert "1 file left out, not read as images (1 .txt)" in done.stderr


def test_labels_that_name_no_frame_or_few_are_said(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    labels, words = tmp_path / "labels.csv", ("run", "--bundle", image_bundle.path, "--cut", "edge")
    labels.write_text("file,label\n0/0010.png,3\n")
    done = invoke(*words, "--source", folder, "--labels", labels)
    assert isinstance(done.exception, SourceError)
    assert "name none of the 6 frames of the source: they name 0" in str(done.exception)
    labels.write_text("file,label\n0.png,3\n5.png,3\n")
    done = invoke(*words, "--source", folder, "--labels", labels)
    assert f"{labels.name} know 2 of 6 frames" in done.stderr.replace("\n", " ")
    spec = image_bundle.inputs[0]
    np.save(tmp_path / "x.npy", np.zeros((2, *spec.shape[1:]), spec.dtype))
    done = invoke(*words, "--source", tmp_path / "x.npy", "--labels", labels)
    assert "name none of the 2 frames that came; the last one is called x.npy#1" in done.stderr
    labels.write_text("file,label\nx.npy#1,3\n")
    done = invoke(*words, "--source", tmp_path / "x.npy", "--labels", labels)
    assert "that came" not in done.stderr


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
    assert "image: 1 frame " in table.stdout


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
    assert "Until that is mended, frames are finished on this device." in done.stderr


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


def test_link_that_is_given_is_a_first_guess_and_that_of_the_summary_was_measured(
    image_bundle: Bundle, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_client.control.startup_plan.MEASURE_S", 0.5)
    words = ("run", "--cloud", address, "--bundle", image_bundle.path, "--source", folder)
    fixed = ("--cut", "cut-03", "--link", "10mbit,20ms", "--json")
    assert "first guess" not in invoke(*words, *fixed).stderr
    done = invoke(*words, "--link", "10mbit,20ms", "--loop", "--max-frames", 40)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    guess = "10.0 Mbit/s up, 10.0 Mbit/s down, RTT 20.0 ms"
    assert f"{guess} is the first guess" in said
    # At the cut edge nothing crosses, and the guess stays.
    assert ("link, as given" if guess in done.stdout else "link, as measured") in done.stdout


def test_run_whose_frames_waited_for_each_other_says_so(
    image_bundle: Bundle, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_client.cli.reports.advice._MUCH", 0.0)  # however little it was
    monkeypatch.setattr("edge_client.cli.reports.advice._CROWD", 0.0)
    words = ("run", "--cloud", address, "--bundle", image_bundle.path, "--source", folder)
    words += ("--cut", "cut-03", "--loop", "--max-frames", "24")
    assert "for others of the window of 16" in " ".join(
        invoke(*words, "--window", 16).stderr.split()
    )
    assert "for others of the window" not in invoke(*words, "--window", 1).stderr


def test_run_with_a_device_says_what_a_frame_cost_it(residual_bundle: Bundle, source: Path) -> None:
    done = run_edge(residual_bundle, source, "--device", "phone", "--json", "--max-frames", 2)
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["energy_j"] > 0
    plain = run_edge(residual_bundle, source, "--json", "--max-frames", 2)
    assert json.loads(plain.stdout.splitlines()[-1])["summary"]["energy_j"] is None


def test_records_have_times_outputs_and_their_files(
    image_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    begun = datetime.now().astimezone()
    words = ("run", "--bundle", image_bundle.path, "--source", folder, "--cut", "edge", "--json")
    done = invoke(*words, "--save-outputs", tmp_path / "saved")
    assert done.exit_code == 0, done.output
    *records, _ = lines(done.stdout)
    (spec,) = image_bundle.outputs
    times = [datetime.fromisoformat(record["time"]) for record in records]
    assert all(time.tzinfo is not None for time in times)
    assert begun - timedelta(seconds=1) <= times[0] <= times[-1] <= datetime.now().astimezone()
    for record in records:
        with np.load(tmp_path / "saved" / record["saved"]) as saved:
            np.testing.assert_array_equal(
                saved[spec.name], np.array(record["outputs"][spec.name]["values"], np.float32)
            )
        assert record["detections"] is None
    again = invoke(*words, "--save-outputs", tmp_path / "saved")
    assert isinstance(again.exception, UsageError)


def test_outputs_are_read_only_for_records_that_somebody_reads(
    residual_bundle: Bundle, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr(Interpretation, "detections", lambda _, outputs: read.append(outputs))
    assert run_edge(residual_bundle, source, "--max-frames", 2).exit_code == 0
    assert read == []
    output = ("--output", tmp_path / "records.jsonl")
    assert run_edge(residual_bundle, source, "--max-frames", 2, *output).exit_code == 0
    assert len(read) == 2
