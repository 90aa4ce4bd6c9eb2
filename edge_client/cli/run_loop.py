"""The command `splitpoint-edge run`: it streams a source through the client and records results."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from time import monotonic, time

from edge_client.cli.reports.live_view import LiveView
from edge_client.cli.reports.moves import MoveTeller
from edge_client.cli.reports.remarks import (
    beat,
    client_options,
    shown_progress,
    tell_of_choice,
    tell_of_distrust,
    tell_of_exits,
    tell_of_health,
    tell_of_labels,
    tell_of_link,
    tell_of_plain_server,
    tell_of_server,
    tell_of_server_move,
    tell_of_slowness,
    tell_of_unlabelled,
    tell_of_update,
)
from edge_client.cli.reports.result_json import RecordWriter
from edge_client.cli.reports.saved_outputs import OutputFolder
from edge_client.cli.reports.summary import sum_up
from edge_client.cli.reports.tally import Tally
from edge_client.cli.settings import RunSettings
from edge_client.client.sync_client import EdgeClient
from edge_client.sources.source import Frame, FrameSource, open_source, play
from edge_client.telemetry.metrics_page import check_free, shown_metrics
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter
from partitioner.bundle.bundle import Bundle
from partitioner.inputs.labels import known_labels
from partitioner.terminal import console
from partitioner.terminal.entrypoint import INTERRUPTED
from protos.errors import SourceError
from protos.tensors import Array

SOME_FAILED = 7
"""The exit status of a run in which some frames, but not all, got no answer."""


def run_source(settings: RunSettings, *, as_json: bool) -> int:
    """Stream the source through the client, report, and return the exit status.

    0: every frame was served, by whom ever; 7: some were not, such as those that missed their deadline;
    1: none was; 130: interrupted. The summary of what was done comes last, whatever ended the frames;
    their error is raised after it.
    """
    bundle = settings.client.load_bundle()
    source = open_source(settings.source, bundle.inputs, console.remark)
    labels = known_labels(
        settings.labels, source.names, bundle.manifest.labels, bundle.outputs, console.remark
    )
    if settings.labels is not None:
        tell_of_labels(settings.labels, labels or {}, source.names)
    check_free(settings.reports.metrics, insecure=settings.client.insecure)
    saved = OutputFolder(settings.save_outputs) if settings.save_outputs else None
    slow = settings.client.slow
    tell_of_slowness(slow)
    with ExitStack() as stack:
        client = stack.enter_context(_connected(settings, bundle))
        if settings.reports.heartbeat:
            beat(settings.reports.heartbeat)
        observer = Observer(client.asynchronous, settings.reports.name, stops=lambda: source.stops)
        stack.enter_context(shown_metrics(settings.reports.metrics, observer))
        # Only now: a server that is away must not cost the records of the last run.
        writer = stack.enter_context(RecordWriter(settings.reports.output, as_json))
        tell_of_link(settings.client)
        tell_of_plain_server(client.asynchronous)
        tell_of_choice(client.asynchronous)
        tell_of_server(client.asynchronous)
        client.asynchronous.on_server.add(tell_of_server_move)
        tell_of_exits(client.bundle, client.exit_threshold)
        client.asynchronous.on_distrust.add(tell_of_distrust)
        client.asynchronous.on_update.add(tell_of_update)
        reporter = Reporter(
            client.asynchronous, observer, settings.reports.telemetry_s, writer.note,
            partial(tell_of_health, client.asynchronous),
        )  # fmt: skip
        reporting = client.accompany(reporter.run())
        tally = Tally(bundle, labels or {}, monotonic, settings.client.deadline_s, settings.terms)
        try:
            interrupted = _stream(client, source, settings, tally, observer, writer, saved)
        finally:
            reporting.cancel()
            try:
                client.run(reporter.finish())
            finally:
                sum_up(
                    tally, client, writer,
                    as_json=as_json, slow=slow, dropped=source.dropped, unreadable=source.unreadable,
                    stops=source.stops, window=settings.client.window,
                )  # fmt: skip
                tell_of_unlabelled(settings.labels, tally)
    return _exit_status(tally, source, interrupted)


def _connected(settings: RunSettings, bundle: Bundle) -> EdgeClient:
    with shown_progress() as show:
        return EdgeClient.of(client_options(settings, bundle, show))


def _stream(
    client: EdgeClient,
    source: FrameSource,
    settings: RunSettings,
    tally: Tally,
    observer: Observer,
    writer: RecordWriter,
    saved: OutputFolder | None,
) -> bool:
    """Stream everything; return True if it was interrupted."""
    names: deque[tuple[str, float]] = deque()
    total = settings.pace.max_frames if settings.pace.loop else source.total
    frames = _noting(play(source, settings.pace), names)
    edge = client.asynchronous
    moves = MoveTeller(edge.control.moved_to)
    with LiveView(total) as view:
        try:
            for result in client.stream(frames, on_error="result"):
                moves.note(edge.control.moved_to)
                observer.add(result)
                source_name, came_at_s = names.popleft()
                tally.add(result, source_name)
                file = {} if saved is None else {"saved": saved.save(result.frame, result.outputs)}
                if writer.is_read:
                    writer.write(tally.record(result, source_name, came_at_s) | file)
                if settings.reports.heartbeat:
                    beat(settings.reports.heartbeat)
                view.show(result, tally)
                console.check_readers()
        except KeyboardInterrupt:
            return True
        finally:
            moves.finish()
    return False


def _noting(frames: Iterator[Frame], names: deque[tuple[str, float]]) -> Iterator[dict[str, Array]]:
    """Yield the frames' inputs; results come in the same order, so names and times wait in `names`."""
    for frame in frames:
        names.append((frame.source, time()))
        yield frame.inputs


def _exit_status(tally: Tally, source: FrameSource, interrupted: bool) -> int:
    if interrupted:
        return INTERRUPTED  # the entry point says so
    if tally.frames == 0:
        raise SourceError(
            f"no frame came out of the source ({source.unreadable} could not be read). Check it."
        )
    if tally.failed:
        return 1 if tally.failed == tally.frames else SOME_FAILED
    return 0
