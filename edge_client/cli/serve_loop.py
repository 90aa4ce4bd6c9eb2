"""The command `splitpoint-edge serve`: it starts the local server, waits for a signal, and drains."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic, time

from edge_client.cli.reports.moves import MoveTeller
from edge_client.cli.reports.remarks import (
    beat,
    client_options,
    shown_progress,
    tell_of_choice,
    tell_of_distrust,
    tell_of_exits,
    tell_of_health,
    tell_of_link,
    tell_of_plain_server,
    tell_of_server,
    tell_of_server_move,
    tell_of_slowness,
    tell_of_update,
)
from edge_client.cli.reports.result_json import RecordWriter
from edge_client.cli.reports.summary import sum_up
from edge_client.cli.reports.tally import Tally
from edge_client.cli.settings import LocalServeSettings
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result
from edge_client.local_server import LocalServer, exposure_of
from edge_client.telemetry.health import State
from edge_client.telemetry.metrics_page import check_free, shown_metrics
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.reporter import Reporter
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import stop_event
from partitioner.common.units import format_duration
from partitioner.planning.terms import NO_TERMS
from partitioner.terminal import console
from protos.errors import FileError
from protos.rpc.addresses import open_listener

_BEAT_S = 1.0


def serve_model(settings: LocalServeSettings, *, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT, then drain and sum up; a second signal ends at once.

    An --output or a stdout that takes no more ends it too; its error is raised after the summary.
    """
    asyncio.run(_serve(settings, as_json=as_json))


async def _serve(settings: LocalServeSettings, *, as_json: bool) -> None:
    stop = stop_event()
    bundle = settings.client.load_bundle()
    insecure = settings.client.insecure
    exposure_of(settings.listener.tls, insecure=insecure).check(settings.listen, "listen")
    open_listener(settings.listen, "listen").close()  # measuring first would be for nothing
    check_free(settings.reports.metrics, insecure=insecure)
    tell_of_slowness(settings.client.slow)
    async with AsyncExitStack() as stack:
        client = await connected(settings, bundle, stack, stop)
        if client is None:
            return
        if settings.reports.heartbeat:
            beat(settings.reports.heartbeat)
        observer = Observer(client, settings.reports.name, listener=settings.listener.tls)
        stack.enter_context(shown_metrics(settings.reports.metrics, observer))
        writer = stack.enter_context(RecordWriter(settings.reports.output, as_json))
        book = Book(client, observer, writer, stop)
        server = LocalServer(
            client,
            settings.listen,
            max_queue=settings.limits.max_queue,
            max_message_bytes=settings.limits.max_message_bytes,
            tls=settings.listener.tls,
            insecure=insecure,
            on_result=book.note,
            health=lambda: observer.health,
        )
        await server.start()
        stack.push_async_callback(server.stop)
        tell_of_link(settings.client)
        tell_of_plain_server(client)
        tell_of_choice(client)
        tell_of_server(client)
        client.on_server.add(tell_of_server_move)
        tell_of_exits(client.bundle, client.exit_threshold)
        client.on_distrust.add(tell_of_distrust)
        client.on_update.add(tell_of_update)
        _announce(server.address, client, as_json=as_json)

        async def changed(state: State) -> None:
            await tell_of_health(client, state)
            await server.show_health()

        reporter = Reporter(client, observer, settings.reports.telemetry_s, writer.note, changed)
        reporting = asyncio.create_task(reporter.run())
        reporting.add_done_callback(lambda _: stop.set())  # it ends by itself when stdout is closed
        try:
            await _until(stop, settings)
            limit = format_duration(settings.limits.drain_s)
            console.remark(f"draining for at most {limit}; again to end at once")
            await server.stop(settings.limits.drain_s)
            reporting.cancel()
            await reporter.finish()
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            book.close(as_json=as_json)


async def connected(
    settings: LocalServeSettings, bundle: Bundle, stack: AsyncExitStack, stop: asyncio.Event
) -> AsyncEdgeClient | None:
    """Return a client that is connected, or None when it was told to stop meanwhile."""
    with shown_progress() as show:
        client = AsyncEdgeClient.of(client_options(settings, bundle, show))
        stack.push_async_callback(client.close)
        connecting, stopping = (
            asyncio.ensure_future(client.connect()),
            asyncio.ensure_future(stop.wait()),
        )
        await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not connecting.done():
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            return None
        await connecting
    return client


def _announce(address: str, client: AsyncEdgeClient, *, as_json: bool) -> None:
    bundle = client.bundle
    if as_json:
        ready = {
            "event": "ready",
            "address": address,
            "model": bundle.name,
            "digest": bundle.digest,
            "cut": client.choice.label,
        }
        console.print_json(ready, indent=None)
    else:
        console.remark(f"serving {bundle.name} on {address}; stop with Ctrl-C")


async def _until(stop: asyncio.Event, settings: LocalServeSettings) -> None:
    """Wait for the end, and show meanwhile that the loop turns."""
    while not stop.is_set():
        if settings.reports.heartbeat:
            beat(settings.reports.heartbeat)
        try:
            await asyncio.wait_for(stop.wait(), _BEAT_S if settings.reports.heartbeat else None)
        except TimeoutError:
            continue


class Book:
    """Keeps the records of what was served, and their sum."""

    def __init__(
        self,
        client: AsyncEdgeClient,
        observer: Observer,
        writer: RecordWriter,
        stop: asyncio.Event,
    ) -> None:
        self._client = client
        self._observer = observer
        self._writer = writer
        self._stop = stop
        self._tally = Tally(
            client.bundle, {}, monotonic, client.deadline_s, client.options.terms or NO_TERMS
        )
        self._moves = MoveTeller(client.control.moved_to)
        self._error: FileError | OSError | None = None

    def note(self, result: Result, request_id: str) -> None:
        """Record one result, as from the source that its request's id names."""
        self._observer.add(result)
        self._moves.note(self._client.control.moved_to)
        self._tally.add(result, request_id)
        if not self._writer.is_read:
            return
        record = self._tally.record(result, request_id, time() - result.latency_s)
        try:
            self._writer.write(record)
        except (FileError, OSError) as error:  # no fault of the caller, who gets the answer
            self._error = error
            self._stop.set()

    def close(self, *, as_json: bool) -> None:
        """Sum up; raises FileError if the file took no more, and OSError if stdout did."""
        self._moves.finish()
        slow = self._client.options.slow
        sum_up(self._tally, self._client, self._writer, as_json=as_json, slow=slow)
        if self._error is not None:
            raise self._error
