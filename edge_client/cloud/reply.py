"""One answer of the cloud, with the times that tell the network's part in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protos.errors import FaultError, plural
from protos.tensors import BATCH_SIZE, Array, TensorSpec


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the cloud: tensors by name, and the times that tell the network's part.

    `begun_at` (the first byte was handed over) and `received_at` are seconds of one monotonic clock;
    `upload_bytes` and `download_bytes` are whole messages; queue_s, decode_s and compute_s are the
    server's own account. open_s is the part of queue_s that opening the tail took, 0 if it was open.
    """

    outputs: Mapping[str, Array] = field(repr=False)
    upload_bytes: int
    download_bytes: int
    begun_at: float
    received_at: float
    queue_s: float
    decode_s: float
    compute_s: float
    open_s: float = 0.0
    is_accounted: bool = True
    """False for a standard server, which does not say what it took: then the link's part is not told."""
    server: str = ""
    """The address of who has answered; empty where a client has one server alone."""

    @property
    def network_s(self) -> float:
        """Seconds between sending and receiving that the server does not account for."""
        server_s = self.queue_s + self.decode_s + self.compute_s
        return max(0.0, self.received_at - self.begun_at - server_s)


def check_outputs(
    outputs: Mapping[str, Array], wanted: Iterable[TensorSpec], batch: int | None = None
) -> None:
    """Raise FaultError unless the cloud has answered every wanted output in its type and shape.

    `batch`: the samples that were sent; None: there is no such axis.
    """
    for spec in wanted:
        found = outputs.get(spec.name)
        if found is None or found.dtype != spec.dtype or found.ndim != len(spec.shape):
            what = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
            raise FaultError(
                f"the cloud answered {what} for the output {spec.name!r}, which is {spec}: it serves another "
                "model by this name. Give it the bundle that is here."
            )
        if not spec.fits(found.shape):
            raise FaultError(
                f"the cloud answered {list(found.shape)} for the output {spec.name!r}, which is {spec}: its "
                "size follows from the data, and the bundle says that it is fixed. Import the model again, "
                "on inputs that give several sizes (`samples`)."
            )
        rows = found.shape[spec.shape.index(BATCH_SIZE)] if BATCH_SIZE in spec.shape else batch
        if batch is not None and rows != batch:
            raise FaultError(
                f"the cloud answered {list(found.shape)} for the output {spec.name!r}, and was sent "
                f"{plural(batch, 'sample')}: what it says may be of another frame."
            )
