"""The causes of connections that fail, as a real gRPC says them, and the words for each."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest

from partitioner.terminal.flag_names import with_flags
from protos.errors import (
    DeniedError,
    OverloadedError,
    SplitpointError,
    UnauthenticatedError,
    UnreachableError,
)
from protos.rpc.calls import refused, translate, unreachable
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.serving.refusals import DRAINING


def failed(address: str) -> SplitpointError:
    server = Endpoint(address)
    with server.open() as channel:
        try:
            channel.unary_unary("/splitpoint.v1.Splitpoint/GetServerInfo")(b"", timeout=5)
        except grpc.RpcError as failure:
            return translate(failure, server)
    raise AssertionError("it answers")


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A port of which each connection is handed to `talk`, and then closed."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def hang_up(_connection: socket.socket) -> None:
    """Say nothing."""


def speak_http1(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Length: 0\r\n\r\n")


def want_tls(connection: socket.socket) -> None:
    with suppress(OSError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection, server_side=True)


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        (hang_up, "hangs up at once, as a server that wants TLS does, or a proxy without one behind it"),
        (want_tls, "hangs up at once, as a server that wants TLS does, or a proxy without one behind it"),
        (speak_http1, "speaks another protocol than gRPC"),
    ],
)  # fmt: skip
def test_port_on_which_something_else_listens_is_said_to_be_so(
    talk: Callable[[socket.socket], None], cause: str
) -> None:
    with listening(talk) as address:
        error = failed(address)
    assert isinstance(error, UnreachableError)
    assert error.cause == cause


def test_port_on_which_nobody_listens_refuses_and_a_name_is_not_resolved() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = failed(f"127.0.0.1:{taken.getsockname()[1]}")
    unknown = failed("no-such-host.invalid:50051")
    assert isinstance(refused, UnreachableError)
    assert isinstance(unknown, UnreachableError)
    assert refused.cause == "refuses connections"
    assert unknown.cause == "has a name that cannot be resolved"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, UnauthenticatedError),
        (grpc.StatusCode.PERMISSION_DENIED, DeniedError),
    ],
)
def test_caller_who_is_not_let_in_is_denied_and_not_a_fault(
    code: grpc.StatusCode, kind: type[DeniedError]
) -> None:
    class Denies(grpc.GenericRpcHandler):
        def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(
                lambda _, call: call.abort(code, "no token.")
            )

    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Denies()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        error = failed(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert type(error) is kind
    if kind is UnauthenticatedError:
        assert "Give the file of its own as --token-file" in with_flags(str(error))
        assert "Bearer" not in str(error)
    else:
        assert str(error) == "no token."


def test_caller_whose_token_is_not_taken_hears_what_the_server_says() -> None:
    shown = Endpoint("127.0.0.1:1", ChannelSecurity(token="t" * 43))
    error = refused(grpc.StatusCode.UNAUTHENTICATED, "the token has expired.", shown)
    assert str(error) == "the token has expired."


class _Refused(grpc.RpcError):
    """What a call raises that a busy server has refused with these trailers."""

    def __init__(self, *trailers: tuple[str, str]) -> None:
        self.trailers = trailers

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return "full"

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.trailers


@pytest.mark.parametrize(
    ("trailers", "wait_s"),
    [((("a", "b"), ("grpc-retry-pushback-ms", "250")), 0.25), ((("grpc-retry-pushback-ms", "-1"),), 0.0),
     ((("grpc-retry-pushback-ms", "soon"),), 0.0), ((), 0.0)],
)  # fmt: skip
def test_trailers_say_when_a_busy_server_takes_more(
    trailers: tuple[tuple[str, str], ...], wait_s: float
) -> None:
    error = translate(_Refused(*trailers), Endpoint("here:1"))
    assert isinstance(error, OverloadedError)
    assert error.retry_after_s == wait_s


def test_server_that_was_told_to_stop_is_said_to_do_that() -> None:
    error = unreachable("the stream broke.", DRAINING, Endpoint("cloud:50051"))
    assert error.cause == "is shutting down"
    assert str(error).startswith("the server at cloud:50051 is shutting down")
