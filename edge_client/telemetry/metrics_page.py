"""The page of metrics that Prometheus reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge_client.telemetry.observer import Observer
from partitioner.terminal import console
from protos.rpc.addresses import open_listener, split_address


def check_free(address: str | None) -> None:
    """Raise UsageError unless metrics can be served at `address`: measuring first would be for nothing."""
    if address is not None:
        open_listener(address, "metrics").close()


@contextmanager
def shown_metrics(address: str | None, observer: Observer) -> Iterator[None]:
    """Serve Prometheus metrics at HOST:PORT within the block, if an address is given.

    Raises UsageError when it cannot be used.
    """
    if address is None:
        yield
        return
    from protos.serving.metrics import serve_metrics

    check_free(address)
    host, port = split_address(address)
    with serve_metrics(host, port, lambda: (observer.peek(),)) as bound:
        console.remark(f"metrics on http://{address.rpartition(':')[0]}:{bound}/metrics")
        yield
