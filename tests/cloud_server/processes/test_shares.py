"""What each process is told."""

from pathlib import Path

import pytest

from cloud_server.options import ServerOptions
from cloud_server.processes import shares
from cloud_server.processes.shares import Assignment, share_of
from partitioner.settings.declaration import options_of
from partitioner.settings.log_options import LogOptions
from protos.errors import UsageError


def test_one_process_has_all_and_its_options_are_the_very_same() -> None:
    options = ServerOptions("bundles", workers=4)
    assert share_of(options) is options


def test_workers_and_memory_are_divided_and_nobody_is_left_without() -> None:
    options = ServerOptions(
        "bundles", processes=3, workers=4, memory_bytes=300, queue_memory_bytes=90, max_queue=9
    )
    share = share_of(options)
    assert (share.workers, share.memory_bytes, share.queue_memory_bytes) == (2, 100, 30)
    assert share.max_queue == 9
    assert share_of(ServerOptions("bundles", processes=8, workers=2)).workers == 1
    assert share_of(ServerOptions("bundles", processes=2)).memory_bytes is None


def test_elsewhere_than_on_linux_several_processes_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares.sys, "platform", "darwin")
    with pytest.raises(UsageError, match="only Linux spreads connections"):
        share_of(ServerOptions("bundles", processes=2))


def test_assignment_is_read_as_it_was_written() -> None:
    options = ServerOptions(
        Path("bundles"),
        "[::1]:0",
        preload=("cloud", "net.cut-1"),
        preferred_batch_size=(4, 8),
        max_batch_size=8,
        queue_wait_s=0.1234567890123,
        memory_bytes=1 << 33,
        devices=Path("devices.json"),
        rollouts=Path("rollouts.json"),
        require_signature=False,
        insecure=True,
        processes=4,
        timeout_action="delay",
    )
    told = Assignment(
        options=options,
        folder=Path("f"),
        number=3,
        socket="s",
        use=7,
        logs=LogOptions(log_level="debug"),
    )
    line = told.write()
    assert line.count(b"\n") == 1
    read = Assignment.read(line)
    for one in options_of(ServerOptions):
        wanted, found = getattr(options, one.name), getattr(read.options, one.name)
        assert found == (str(wanted) if isinstance(wanted, Path) else wanted)
    assert (read.folder, read.number, read.socket, read.use) == (Path("f"), 3, "s", 7)
    assert read.logs == told.logs
