"""What a listener is open to: beyond this machine it needs TLS or tokens, or somebody who says so."""

import ipaddress
import logging
from dataclasses import dataclass

from protos.errors import UsageError

_log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`; of a name, only `localhost` is known to be so."""
    bare = host.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


@dataclass(frozen=True)
class Exposure:
    """What secures a listener, wherever that is."""

    tls: bool
    """It speaks TLS."""
    authenticates: bool
    """Callers show who they are, by a token or a certificate."""
    insecure: bool
    """Somebody said that it may do without either."""
    remedy: str = ""
    """What to give it, as a sentence."""

    def check(self, address: str, parameter: str) -> None:
        """Raise UsageError for a listener at HOST:PORT, which `parameter` named, that nothing secures."""
        if self.tls or self.authenticates or self.insecure or _is_within(address):
            return
        raise UsageError(
            f"`{parameter}` {address} is open to other machines, and nothing secures it: whoever reaches it "
            f"may use it, and read what others send. {self.remedy} Or listen on 127.0.0.1; or give "
            "`insecure`, where the network keeps others away."
        )

    def announce(self, address: str) -> None:
        """Log what others can do at a listener; to be called at every start."""
        open_to = [] if self.tls else ["can read and change what is sent"]
        open_to += [] if self.authenticates else ["may use it"]
        if open_to and not _is_within(address):
            _log.warning(
                "INSECURE: %s is open to other machines, and whoever reaches it %s",
                address,
                " and ".join(open_to),
            )


def _is_within(address: str) -> bool:
    return is_loopback(address.rpartition(":")[0])
