"""The page of metrics that Prometheus reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge_client.telemetry.observer import Observer
from partitioner.terminal import console
from protos.rpc.addresses import open_listener, split_address
from protos.security.exposure import Exposure


def check_free(address: str | None, *, insecure: bool = False) -> None:
    """Raise UsageError unless metrics can be served at `address`: measuring first would be for nothing.

    The page is in the clear and open to all: beyond this machine it has to be `insecure`.
    """
    if address is not None:
        _exposure(insecure).check(address, "metrics")
        open_listener(address, "metrics").close()


@contextmanager
def shown_metrics(address: str | None, observer: Observer) -> Iterator[None]:
    """Serve Prometheus metrics at HOST:PORT within the block, if an address is given.

    Raises UsageError when it cannot be used. Whether it may be exposed, check_free has told.
    """
    if address is None:
        yield
        return
    from protos.serving.metrics import serve_metrics

    check_free(address, insecure=True)
    _exposure(insecure=True).announce(address)
    host, port = split_address(address)
    with serve_metrics(host, port, lambda: (observer.peek(),)) as bound:
        console.remark(f"metrics on http://{address.rpartition(':')[0]}:{bound}/metrics")
        yield


def _exposure(insecure: bool) -> Exposure:
    remedy = "Let what has TLS hand it on, such as a proxy on this machine."
    return Exposure(tls=False, authenticates=False, insecure=insecure, remedy=remedy)
