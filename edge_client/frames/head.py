"""The head of a frame: it is run, the exit at its cut asked, and its frontier encoded for the cloud."""

import math
from collections.abc import Mapping
from functools import partial
from itertools import count

import numpy as np

from edge_client.defaults import ExitThreshold
from edge_client.frames.choice import Choice
from edge_client.frames.prepared_frame import ExitAnswer, PreparedFrame
from edge_client.frames.slowdown import batch_of, encoding_of
from edge_client.frames.stages import Stages
from partitioner.bundle.exits import CONFIDENCE
from partitioner.runtime.sessions import random_feeds
from protos.names import EDGE, model_name
from protos.rpc.endpoints import Endpoint
from protos.tensors import Array
from protos.wire.checksums import seal
from protos.wire.framing import encode_request
from protos.wire.messages import pack_plain_request, pack_request


class HeadRunner:
    """Runs heads and exits, and encodes frontiers. Safe to call from several threads."""

    def __init__(self, stages: Stages, request_ids: "count[int] | None" = None) -> None:
        self.stages = stages
        self.plain_server: Endpoint | None = None
        """The cloud, if it is a standard server, which knows no codecs, digests and checksums of ours."""
        self.plain_version = ""
        """The version of the models that is asked for there; empty: none in particular."""
        self.most_rows: Mapping[str, int] = {}
        """How many samples of a frame it takes, by the labels of choices; where it says so."""
        self._exit_threshold: ExitThreshold = None
        self._bundle = stages.bundle
        self._request_ids = request_ids or count()

    @property
    def exit_threshold(self) -> ExitThreshold:
        """The threshold that the caller asked for; None: no exit answers early."""
        return self._exit_threshold

    def answer_from(self, threshold: ExitThreshold) -> None:
        """Let exits answer early from this confidence, from the next frame on; None: not at all."""
        self._exit_threshold = threshold

    def warm(self, choice: Choice) -> None:
        """Open what the first frame of a choice runs; raises what Stages.warm does."""
        self.stages.warm(choice.cut.id)
        slowdown, name = self.stages.slowdown, encoding_of(choice.label)
        if choice.cut.id != EDGE and not slowdown.knows(name):
            values = random_feeds(choice.cut.frontier, np.random.default_rng(0))
            plainly = self.plain_server is not None
            slowdown.look(name, partial(self.message, choice, values, "0", plainly=plainly))

    def prepare(
        self,
        inputs: Mapping[str, Array],
        frame: int,
        arrived_at: float,
        deadline_at: float,
        choice: Choice,
    ) -> PreparedFrame:
        """Run the head and encode the frontier; `inputs` have been checked."""
        slowdown = self.stages.slowdown
        slowdown.wake()
        values, edge_s = self.stages.run_head(choice.cut.id, inputs)
        work = PreparedFrame(frame, choice, arrived_at, deadline_at, values, None, "", edge_s)
        if choice.cut.id == EDGE:
            return work
        if self._exit_threshold is not None or deadline_at < math.inf:
            self.ask_exit(work)
        if work.exit is None or not work.exit.is_sure:
            slowdown.hand_over()
            work.spent(self._encode(work))
        return work

    def ask_exit(self, work: PreparedFrame) -> None:
        """Ask the exit at the frame's cut, if there is one and it has not been asked yet."""
        cut_id = work.choice.cut.id
        if work.exit is not None or not self.stages.has_exit(cut_id):
            return
        limit = self.exits_from(work.choice)
        outputs, exit_s = self.stages.run_exit(cut_id, work.values)
        confidence = float(np.min(outputs.pop(CONFIDENCE)))
        threshold = math.inf if limit is None else limit
        work.answer_by_exit(ExitAnswer(outputs, confidence, threshold), exit_s)

    def exits_from(self, choice: Choice) -> float | None:
        """Return the confidence from which the exit at a choice's cut answers early; None: never."""
        asked, cut_id = self._exit_threshold, choice.cut.id
        if asked is None or not self.stages.has_exit(cut_id):
            return None
        if choice.exits_from is not None:
            return choice.exits_from if choice.exits_from < math.inf else None
        if isinstance(asked, str):
            return self._bundle.known_exits().find(cut_id).meta.threshold
        return asked

    def pack_anew(self, work: PreparedFrame) -> bytes:
        """Pack and return a frame's message once more, for the kind of server that the cloud is by now."""
        work.spent(self._encode(work))
        return work.message or b""

    def _encode(self, work: PreparedFrame) -> float:
        """Pack the frame's message; return the seconds that encoding took."""
        request_id = work.request_id or str(next(self._request_ids))  # the latter is thread-safe
        choice, values, plain_server = work.choice, work.values, self.plain_server
        message, encode_s = self.stages.slowdown.run(
            encoding_of(choice.label),
            partial(self.message, choice, values, request_id, plainly=plain_server is not None),
            batch_of(choice.cut.frontier, values),
        )
        work.pack(request_id, message, plain_server)
        return encode_s

    def message(
        self, choice: Choice, values: Mapping[str, Array], request_id: str, *, plainly: bool = False
    ) -> bytes:
        """Return the request that carries a frontier to the cloud; `plainly`: to a standard server."""
        name, cut = self._bundle.name, choice.cut
        if plainly:
            frontier, by = cut.frontier, choice.codec
            plain = pack_plain_request(
                name, cut.id, request_id, values, frontier, by, self.plain_version
            )
            return encode_request(*plain)
        header, buffers = pack_request(
            model_name(name, cut.id),
            request_id,
            values,
            cut.frontier,
            choice.codec,
            self._bundle.digest,
            self._bundle.ranges,
        )
        seal(header, buffers)
        return encode_request(header, buffers)
