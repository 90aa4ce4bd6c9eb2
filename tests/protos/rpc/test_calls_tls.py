"""Connections that TLS keeps from being made, as a real gRPC fails them: a sentence each, and a remedy."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.errors import SplitpointError, UnreachableError
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import DAY, Authority, self_signed

IN_THE_CLEAR = ChannelSecurity()


class Echo(grpc.GenericRpcHandler):
    """Answers every call with the name in the caller's certificate, if it has shown one."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            return b"".join(context.auth_context().get("x509_common_name", ()))

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def serving(files: TlsFiles | None, *, dates: bool = True) -> Iterator[str]:
    """A server with these files; without `dates`, one that does not look at them itself."""
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Echo()])
    if files is None:
        port = server.add_insecure_port("127.0.0.1:0")
    elif dates:
        port = server.add_secure_port("127.0.0.1:0", ServerTls(files).credentials())
    else:
        held = files.read()
        pair = grpc.ssl_server_credentials(
            [(held.key, held.cert)], held.authorities or None, files.authorities is not None
        )
        port = server.add_secure_port("127.0.0.1:0", pair)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def asked(address: str, security: ChannelSecurity) -> bytes | SplitpointError:
    endpoint = Endpoint(address, security)
    with endpoint.open() as channel:
        try:
            return channel.unary_unary("/a/b")(b"", timeout=5)  # type: ignore[no-any-return]
        except grpc.RpcError as failure:
            return translate(failure, endpoint)


def refused(address: str, security: ChannelSecurity) -> UnreachableError:
    error = asked(address, security)
    assert isinstance(error, UnreachableError), error
    assert str(error).startswith(f"the server at {address} {error.cause}. ")
    assert "SSL_ERROR" not in str(error)
    return error


def trusting(authority: Authority, own: TlsFiles | None = None, **more: Any) -> ChannelSecurity:
    own = own or TlsFiles()
    return ChannelSecurity(files=TlsFiles(own.cert, own.key, authority.path), **more)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("valid", "cause", "passes"),
    [
        ((-9 * DAY, -2 * DAY), "has expired", False),
        ((2 * DAY, 9 * DAY), "is not valid yet", True),
    ],
)  # fmt: skip
def test_certificate_outside_of_its_dates_names_the_clock(
    authority: Authority, valid: Any, cause: str, passes: bool
) -> None:
    with serving(authority.issue(valid=valid), dates=False) as address:
        error = refused(address, trusting(authority))
        assert error.cause == f"has a certificate that {cause}, by the clock of this machine"
        assert error.needs_a_person is not passes


def test_certificate_of_another_name_is_said_to_be_so_and_its_name_can_be_given(
    authority: Authority,
) -> None:
    with serving(authority.issue("cloud.example")) as address:
        error = refused(address, trusting(authority))
        assert error.cause == "has a certificate of another name than its address"
        assert error.needs_a_person
        assert "`tls_server_name`" in str(error)
        assert asked(address, trusting(authority, server_name="cloud.example")) == b""
        wrong = trusting(authority, server_name="other.example")
        assert refused(address, wrong).cause == error.cause


def test_certificate_by_another_authority_and_one_that_signed_itself_are_not_trusted(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    with serving(authority.issue()) as address:
        error = refused(address, trusting(stranger))
        assert error.cause == "has a certificate by an authority that is not trusted here"
        assert error.needs_a_person
        assert "`tls_ca`" in str(error)
        assert refused(address, ChannelSecurity(tls=True)).cause == error.cause
    alone = self_signed(tmp_path)
    with serving(alone) as address:
        error = refused(address, trusting(stranger))
        assert (
            error.cause == "has a certificate that it signed itself, and that is not trusted here"
        )
        assert asked(address, ChannelSecurity(files=TlsFiles(authorities=alone.cert))) == b""


def test_client_in_the_clear_and_server_with_tls_find_out_and_the_reverse(
    authority: Authority,
) -> None:
    with serving(authority.issue()) as address:
        error = refused(address, IN_THE_CLEAR)
        assert error.cause.startswith("hangs up at once, as a server that wants TLS does")
        assert not error.needs_a_person  # a server behind a proxy may come back by itself
        assert "`tls_ca`" in str(error)
    with serving(None) as address:
        error = refused(address, trusting(authority))
        assert error.cause == "speaks no TLS"
        assert error.needs_a_person
        assert "`tls_cert`" in str(error)


def test_client_without_the_certificate_that_the_server_wants_is_told_to_give_one(
    authority: Authority,
) -> None:
    with serving(authority.issue(clients=authority.path)) as address:
        error = refused(address, trusting(authority))
        assert error.cause.startswith(
            "hangs up at once, as a server that wants a certificate of its"
        )
        assert "`tls_cert`" in str(error)
        device = authority.issue("camera-1", name="camera")
        assert asked(address, trusting(authority, device)) == b"camera-1"


def test_client_whose_certificate_the_server_does_not_know_or_that_expired_asks_for_another(
    authority: Authority, stranger: Authority
) -> None:
    with serving(authority.issue(clients=authority.path)) as address:
        unknown = stranger.issue("camera-1", name="camera")
        error = refused(address, trusting(authority, unknown))
        assert error.cause.startswith(
            "hangs up at once, as a server that does not take this machine's"
        )
        assert str(unknown.cert) in str(error)
        old = authority.issue("camera-1", name="old", valid=(-9 * DAY, -DAY))
        error = refused(address, trusting(authority, old))
        assert error.cause.startswith("hangs up on this machine's certificate, which expired on ")
        assert f"Renew {old.cert}" in str(error)
        early = authority.issue("camera-1", name="early", valid=(DAY, 9 * DAY))
        error = refused(address, trusting(authority, early))
        assert "certificate, which is valid from " in error.cause
        assert "set this machine's clock" in str(error)


def test_tls_alone_trusts_what_the_system_trusts(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with serving(authority.issue()) as address:
        assert asked(address, ChannelSecurity(tls=True)) == b""


def test_connection_that_breaks_in_a_call_is_no_matter_of_certificates(
    authority: Authority,
) -> None:
    security = trusting(authority)
    details = "Socket closed"
    from protos.rpc.refused_connections import meaning_of

    assert meaning_of(details, security) is None
    assert meaning_of("Connection refused", IN_THE_CLEAR) is None
