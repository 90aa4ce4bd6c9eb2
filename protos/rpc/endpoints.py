"""A server as a client reaches it: its address, and how the connections there are secured."""

from dataclasses import dataclass, field

import grpc
import grpc.aio

from protos.rpc.addresses import check_server
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.rpc.token_channel import TokenChannel
from protos.security.channel_security import ChannelSecurity, system_authorities
from protos.security.reloaded_files import ReloadedFiles

Options = list[tuple[str, int | str]]


@dataclass(frozen=True)
class _Means:
    """What one connection is secured by: what its files held."""

    credentials: grpc.ChannelCredentials | None
    token: str = field(repr=False)


class Endpoint:
    """Opens connections to the server at `address`, each with the newest certificate and token there are.

    As text it is the address. Raises UsageError for an address that is none, or to which a token would travel
    in the clear, and CredentialError for files of no use; what breaks them later leaves what they held
    before in use.
    """

    def __init__(self, address: str, security: ChannelSecurity | None = None) -> None:
        self.address = check_server(address)
        self.security = security or ChannelSecurity()
        self.security.check_address(address)
        self._means = ReloadedFiles(
            f"what secures the connection to {address}", self.security.paths, self._read
        )
        self.security.files.warn_of_open_key()

    @classmethod
    def of(cls, server: "str | Endpoint") -> "Endpoint":
        """Return the server, where an address alone is in the clear."""
        return cls(server) if isinstance(server, str) else server

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"<Endpoint {self.address}, {'TLS' if self.security.tls else 'in the clear'}>"

    def open(self) -> grpc.Channel:
        """Return a connection for calls that wait for their answer."""
        means, options = self._means.newest(), self._options(DEFAULT_MAX_MESSAGE_BYTES)
        if means.credentials is None:
            channel = grpc.insecure_channel(self.address, options)
        else:
            channel = grpc.secure_channel(self.address, means.credentials, options)
        return TokenChannel.over(channel, means.token)

    def open_async(
        self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES, *, reconnects: bool = True
    ) -> grpc.aio.Channel:
        """Return a connection for asyncio, which takes messages of so many bytes.

        `reconnects`: see channel_options.
        """
        means = self._means.newest()
        options = self._options(max_message_bytes, reconnects=reconnects)
        if means.credentials is None:
            channel = grpc.aio.insecure_channel(self.address, options)
        else:
            channel = grpc.aio.secure_channel(self.address, means.credentials, options)
        return TokenChannel.over(channel, means.token)

    @property
    def is_secured_anew(self) -> bool:
        """True once a file was written that the next connection will try, and no connection has yet."""
        return self._means.have_changed

    def _options(self, max_message_bytes: int, *, reconnects: bool = True) -> Options:
        options: Options = [*channel_options(max_message_bytes, reconnects=reconnects)]
        if self.security.server_name:
            options.append(("grpc.ssl_target_name_override", self.security.server_name))
        return options

    def _read(self) -> _Means:
        token = self.security.read_token()
        if not self.security.tls:
            return _Means(None, token)
        found = self.security.files.read()
        trusted = found.authorities or system_authorities()
        credentials = grpc.ssl_channel_credentials(trusted, found.key or None, found.cert or None)
        return _Means(credentials, token)
