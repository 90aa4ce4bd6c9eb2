"""What schemathesis makes up from our own OpenAPI document is answered as that document says."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks

from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import LoopThread

load_all_checks()
TENSORS = [
    # A request that fits the document may still not fit the model.
    schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
]


@pytest.fixture(scope="module")
def schema(residual_bundle: Bundle) -> Iterator[Any]:
    """The document of a running server."""
    stack = contextlib.AsyncExitStack()
    thread = LoopThread("schemathesis")

    async def start() -> str:
        server = await stack.enter_async_context(CloudServer(residual_bundle.path))
        return await stack.enter_async_context(serve_web(server, "127.0.0.1:0"))

    try:
        address = thread.run(start())
        yield schemathesis.openapi.from_url(f"http://{address}/openapi.json")
        thread.run(stack.aclose())
    finally:
        thread.close()


ROUTES = {
    ("GET", path)
    for path in (
        "/livez", "/readyz", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready",
        "/v2/models/stats", "/v2/models/{name}", "/v2/models/{name}/ready",
        "/v2/models/{name}/stats", "/v2/models/{name}/versions/{version}",
        "/v2/models/{name}/versions/{version}/ready", "/v2/models/{name}/versions/{version}/stats",
    )
} | {
    ("POST", "/v2/models/{name}/infer"), ("POST", "/v2/models/{name}/versions/{version}/infer"),
    ("POST", "/v2/repository/index"), ("POST", "/v2/repository/models/{name}/load"),
    ("POST", "/v2/repository/models/{name}/unload"), ("GET", "/v2/models/{name}/config"),
}  # fmt: skip


@pytest.mark.slow
def test_made_up_requests_are_answered_as_documented(schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {(one.method.upper(), one.path) for one in operations} >= ROUTES
    for operation in operations:

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            # Names of models are made up, too; now and then one that there is.
            if len(case.path_parameters.get("name", "")) % 2:
                case.path_parameters["name"] = "residual"
            case.call_and_validate(excluded_checks=TENSORS)

        check()
