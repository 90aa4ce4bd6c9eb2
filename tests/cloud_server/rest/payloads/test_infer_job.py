"""Where the bodies of inference requests are unpacked."""

import gzip
import json
import threading

import pytest

from cloud_server.rest.payloads import infer_job
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.cloud_calls import crossing
from tests.kit.rest_calls import document_of, infer_path, rest_client


@pytest.mark.parametrize(
    ("spaces", "packed", "aside"),
    [(0, False, False), (100_000, False, True), (0, True, True)],
    ids=["small", "large", "packed"],
)
async def test_body_that_is_large_or_may_unfold_to_much_is_not_unpacked_on_the_loop(
    residual_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    spaces: int,
    packed: bool,
    aside: bool,
) -> None:
    threads: list[threading.Thread] = []
    unpack = infer_job.unpack

    def noted(body: memoryview, encoding: str, max_bytes: int) -> memoryview:
        threads.append(threading.current_thread())
        return unpack(body, encoding, max_bytes)

    monkeypatch.setattr(infer_job, "unpack", noted)
    document = document_of(residual_bundle, "cut-12", crossing(residual_bundle, "cut-12"))
    body = json.dumps(document).encode() + b" " * spaces
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        found = await client.post(
            infer_path(residual_bundle, "cut-12"),
            content=gzip.compress(body) if packed else body,
            headers={"content-encoding": "gzip"} if packed else {},
        )
    assert found.status_code == 200
    assert [thread is not threading.current_thread() for thread in threads] == [aside]
