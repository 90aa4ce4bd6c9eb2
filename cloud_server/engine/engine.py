"""The engine: from the bytes of a request to the bytes of its answer."""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from cloud_server.engine.admission import Admission, QueueLimits
from cloud_server.engine.batch import BatchRun, Execution, Outcome
from cloud_server.engine.batch_rules import ALONE
from cloud_server.engine.compute_costs import ComputeCosts
from cloud_server.engine.request import Request, late, request_of
from cloud_server.engine.rule_book import RuleBook
from cloud_server.engine.workers import Workers
from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Model
from cloud_server.observability.request_book import RequestBook
from partitioner.runtime.sessions import Stage
from protos.errors import OverloadedError, SplitpointError
from protos.serving.answers import Job, Later
from protos.wire.checksums import check_seal

EXTENSIONS = (
    "model_stream_infer",
    "model_configuration",
    "model_repository",
    "statistics",
    "splitpoint_tails",
    "splitpoint_codecs",
)
"""The extensions that the server offers beyond the protocol."""

_LEAST_PAUSE_S = 1e-3
"""Between two looks for what is late: some loops count in milliseconds."""


class Engine:
    """Queues jobs, and lets a fixed number of worker threads compute them in batches.

    Used from one event loop. There a job's header is read, and it gets its place in the queue; the worker
    that computes it decodes and checks its tensors. `max_decoded_bytes` bounds what the coded inputs of a
    request unfold to, as gRPC bounds what arrives. `book` hears of every request, how it ended, and where its
    time went; `rules` say how requests wait and which may be computed together (default: none).
    """

    def __init__(
        self,
        store: ModelStore,
        workers: int,
        limits: QueueLimits,
        max_decoded_bytes: int,
        book: RequestBook | None = None,
        rules: RuleBook | None = None,
    ) -> None:
        self.costs = ComputeCosts()
        self.book = book or RequestBook()
        self._rules = rules or RuleBook(ALONE)
        self._store = store
        self._admission = Admission(limits, workers)
        self._max_decoded_bytes = max_decoded_bytes
        self._workers: Workers[Request] = Workers(workers, self._compute)
        self._unpacker = ThreadPoolExecutor(1, "unpack")
        self._alarm: asyncio.TimerHandle | None = None
        self._opening_bytes = 0
        """Of requests that wait for their tail to be loaded."""

    def submit(self, job: Job) -> asyncio.Future[bytes | Later]:
        """Queue a job; see Answerer.

        The future brings OverloadedError at once when there is no room (see Admission). A future that is
        cancelled takes its job out of the queue.
        """
        future: asyncio.Future[bytes | Later] = asyncio.get_running_loop().create_future()
        try:
            self._admit(job)
            if job.unpacks_aside:
                future.set_result(partial(self.unpack_and_answer, job))
            else:
                self._queue(job, future)
        except SplitpointError as error:
            self._refuse(job, future, error)
        return future

    async def unpack_and_answer(self, job: Job) -> bytes:
        """Return the answer of a job that takes long to unpack: one at a time, beside the event loop.

        It was let in, and is inside meanwhile. What is cancelled before its turn is never unpacked.
        """
        loop = asyncio.get_running_loop()
        unpacking = loop.run_in_executor(self._unpacker, job.decode)
        self._entered(job)
        unpacking.add_done_callback(partial(self._left, job))
        unpacking.add_done_callback(lambda _: job.on_unpacked(job))
        await unpacking
        future: asyncio.Future[bytes | Later] = loop.create_future()
        try:
            self._queue(job, future)
        except SplitpointError as error:
            self._refuse(job, future, error)
        found = await future
        return found if isinstance(found, bytes) else await found()

    async def load_and_answer(self, job: Job, model: Model) -> bytes:
        """Return the answer of a job whose tail was not in memory. Loading counts as queueing.

        Meanwhile it is inside as those are that wait for a worker, and what was let in is not refused later.
        """
        begun_ns = time.perf_counter_ns()
        loading = asyncio.ensure_future(self._store.load(model))
        nbytes = sum(map(len, job.decode()[1]))
        self._entered(job)
        self._opening_bytes += nbytes
        loading.add_done_callback(partial(self._opened, job, nbytes))
        stage = await loading
        future = asyncio.get_running_loop().create_future()
        try:
            self._enter(job, model, stage, future, time.perf_counter_ns() - begun_ns)
        except SplitpointError as error:
            self._refuse(job, future, error)
        answer: bytes = await future
        return answer

    def close(self) -> None:
        """Drop the jobs that wait; those that run end by themselves."""
        self._rules.close()
        self._unpacker.shutdown(wait=False, cancel_futures=True)
        for request in self._workers.close():
            request.future.cancel()
        if self._alarm is not None:
            self._alarm.cancel()

    def _refuse(self, job: Job, future: asyncio.Future[Any], error: SplitpointError) -> None:
        future.add_done_callback(partial(self.book.ended, job))
        future.set_exception(error)

    def _admit(self, job: Job) -> None:
        self._workers.check_open()
        queue = self._workers.queue
        try:
            waiting_bytes = queue.nbytes + self._opening_bytes
            self._admission.check(job.caller, queue.cost_s, waiting_bytes)
        except OverloadedError:
            job.identify()
            raise

    def _queue(self, job: Job, future: asyncio.Future[Any]) -> None:
        model = self._find(job)
        stage = self._store.loaded(model)
        if stage is None:
            future.set_result(partial(self.load_and_answer, job, model))
        else:
            self._enter(job, model, stage, future)

    def _find(self, job: Job) -> Model:
        header, raw = job.decode()
        try:
            model = self._store.find_for(header)
            job.served = model.name, model.version
        except SplitpointError:
            check_seal(header, raw)  # the name may be what was damaged
            raise
        return model

    def _enter(
        self,
        job: Job,
        model: Model,
        stage: Stage,
        future: asyncio.Future[Any],
        opened_ns: int = 0,
    ) -> None:
        rules = self._rules.of(model, stage)
        request = request_of(job, model, stage, future, rules, self.costs, self._max_decoded_bytes)
        request.opened_ns = opened_ns
        self._workers.offer(request)
        self._entered(job)
        future.add_done_callback(partial(self._ended, request))
        if min(request.expires_ns, request.late_ns) < math.inf:
            self._set_alarm(min(request.expires_ns, request.late_ns))

    def _entered(self, job: Job) -> None:
        self._admission.entered(job.caller)
        self.book.entered(job)

    def _left(self, job: Job, future: asyncio.Future[Any]) -> None:
        self._admission.left(job.caller)
        self.book.left(job)
        self.book.ended(job, future)

    def _opened(self, job: Job, nbytes: int, loading: asyncio.Future[Stage]) -> None:
        self._opening_bytes -= nbytes
        self._left(job, loading)

    def _ended(self, request: Request, future: asyncio.Future[Any]) -> None:
        self._left(request.job, future)
        if future.cancelled():
            self._workers.withdraw(request)

    def _set_alarm(self, at_ns: float) -> None:
        loop = asyncio.get_running_loop()
        after_s = max(_LEAST_PAUSE_S, (at_ns - time.perf_counter_ns()) / 1e9)
        if self._alarm is None or self._alarm.when() > loop.time() + after_s:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_later(after_s, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        found, next_ns = self._workers.expire()
        self._deliver([(request, late(request)) for request in found], ())
        if next_ns < math.inf:
            self._set_alarm(next_ns)

    def _compute(self, batch: Sequence[Request]) -> None:
        """On a worker's thread: compute a batch, and hand the answers to the loop in one go."""
        loop = batch[0].future.get_loop()
        try:
            self._answer(batch, loop)
        except Exception as error:  # what no request is to blame for
            self._hand_over(loop, [(request, error) for request in batch], ())
            raise

    def _answer(self, batch: Sequence[Request], loop: asyncio.AbstractEventLoop) -> None:
        begun_at = time.perf_counter()
        run = BatchRun(self.costs, self._max_decoded_bytes)
        for outcome in run.refused(batch):
            self._hand_over(loop, [outcome], ())
        answers = run.answers()
        if answers:
            waited_s = begun_at - batch[0].arrived_ns / 1e9
            self._admission.ran(time.perf_counter() - begun_at, waited_s)
        self._hand_over(loop, answers, run.executions)

    def _hand_over(
        self,
        loop: asyncio.AbstractEventLoop,
        outcomes: Sequence[Outcome],
        executions: Sequence[Execution],
    ) -> None:
        if outcomes:
            with contextlib.suppress(
                RuntimeError
            ):  # the loop has ended, and all who waited with it
                loop.call_soon_threadsafe(self._deliver, outcomes, executions)

    def _deliver(self, outcomes: Sequence[Outcome], executions: Sequence[Execution]) -> None:
        for request, found in outcomes:
            if request.future.done():
                continue
            if isinstance(found, bytes):
                request.future.set_result(found)
            else:
                request.future.set_exception(found)
        for execution in executions:
            self.book.executed(*execution)
