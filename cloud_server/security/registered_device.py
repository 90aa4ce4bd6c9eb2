"""A registered device: its roles, the models that it may use, its limits, and what it is known by."""

from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AwareDatetime, Field

from partitioner.common.frozen_model import FrozenModel

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MODEL_PATTERN = r"[A-Za-z0-9._*?-]{1,64}"
ALL_MODELS = "*"

_Model = Annotated[str, Field(pattern=f"^{MODEL_PATTERN}$")]


class Role(StrEnum):
    """What a device may do; none implies another."""

    INFER = "infer"
    """Ask models, and for what they are."""
    FETCH = "fetch"
    """Download bundles."""
    TELEMETRY = "telemetry"
    """Report telemetry, and read metrics."""
    PROFILE = "profile"
    """Have the server measure itself, which takes a core for a minute."""
    ADMIN = "admin"
    """Load and unload models, and read metrics."""


class Limits(FrozenModel):
    """What a device may take; None: as the server's defaults."""

    streams: int | None = Field(default=None, ge=1)
    """Calls that stay open: streams of inference, downloads, measurements, watches."""
    requests_per_s: float | None = Field(default=None, gt=0)
    """Of any method; each request of a stream counts."""
    bytes_per_s: float | None = Field(default=None, gt=0)
    """Of requests, and apart from them of downloads."""


class TokenRecord(FrozenModel):
    """What a server keeps of a token."""

    key: str = Field(pattern=r"^[0-9a-f]{16}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def state(self, now: datetime) -> str:
        """Return `valid`, `revoked` or `expired`. When it was revoked is no matter: clocks may be off."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class RegisteredDevice(FrozenModel):
    """A device that a server knows by tokens, by a client certificate of its name, or by both."""

    name: str = Field(pattern=f"^{NAME_PATTERN}$")
    roles: tuple[Role, ...]
    models: tuple[_Model, ...] = (ALL_MODELS,)
    """Names of bundles, or patterns with * and ?. Who may use a bundle's model may use all its tails."""
    limits: Limits = Limits()
    certificate: bool = False
    """Whether a client certificate of this name stands for the device."""
    tokens: tuple[TokenRecord, ...] = ()
    created: AwareDatetime
    revoked: AwareDatetime | None = None

    @property
    def uses_all(self) -> bool:
        """True where every model may be used."""
        return ALL_MODELS in self.models

    def may_use(self, bundle: str) -> bool:
        """Tell whether the device may use a bundle and its tails."""
        return any(fnmatchcase(bundle, pattern) for pattern in self.models)

    def may_use_tail(self, model: str) -> bool:
        """Tell whether a model that is not there would be a tail of a bundle that the device may use."""
        return any(fnmatchcase(model, f"{pattern}.*") for pattern in self.models)
