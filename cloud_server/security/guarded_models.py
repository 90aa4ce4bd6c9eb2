"""Models behind the gate: each request counts, and a device finds only what it may use."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from cloud_server.security.gate import Gate
from cloud_server.security.registered_device import RegisteredDevice
from protos.errors import (
    DeniedError,
    QuotaError,
    SplitpointError,
    UnknownNameError,
)
from protos.serving.answers import Answerer, Catalogue, Job, Later, ServedModel
from protos.serving.bounded_log import BoundedLog

_log = logging.getLogger(__name__)

OnRefused = Callable[[Job, "asyncio.Future[Any]"], object]
"""Hears of a request that its device may not send, and the future that brings why."""


class Access(Protocol):
    """Which bundles the caller of this task may use."""

    def allows(self, bundle: str) -> bool:
        """Tell whether it may use a bundle."""

    def check(self, bundle: str) -> None:
        """Raise DeniedError unless it may, whether there is such a bundle or not."""

    async def pace(self, size_bytes: int) -> None:
        """Wait until it may download so many bytes more."""


class OpenAccess:
    """Everybody may use every bundle."""

    def allows(self, bundle: str) -> bool:
        """Return True."""
        del bundle
        return True

    def check(self, bundle: str) -> None:
        """Do nothing."""

    async def pace(self, size_bytes: int) -> None:
        """Do not wait."""


class CallerAccess:
    """A device may use the bundles that it is registered for."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def allows(self, bundle: str) -> bool:
        """Tell whether the device that calls may use a bundle."""
        return self._gate.caller().may_use(bundle)

    def check(self, bundle: str) -> None:
        """Raise DeniedError unless it may."""
        device = self._gate.caller()
        if not device.may_use(bundle):
            raise _denied(device, bundle)

    async def pace(self, size_bytes: int) -> None:
        """Wait until the device that calls may download so many bytes more."""
        await self._gate.pace(self._gate.caller(), size_bytes)


class GuardedCatalogue:
    """The models of a catalogue that the device which calls may use."""

    def __init__(self, models: Catalogue, gate: Gate) -> None:
        self._models = models
        self._gate = gate

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a model. Raises DeniedError, which does not tell whether there is such a model."""
        self.check(self._gate.caller(), name)
        return self._models.find(name, version)

    def check(self, device: RegisteredDevice, name: str) -> None:
        """Raise unless there is a model of this name and a device may use it."""
        if device.uses_all:
            return
        try:
            bundle = self._models.find(name).bundle_name
        except UnknownNameError:
            if not device.may_use(name) and not device.may_use_tail(name):
                raise _denied(device, name) from None
            # The other sentence would list models that are none of its business.
            raise UnknownNameError(
                f"this server has no model {name!r} for device {device.name}. It may use: "
                f"{', '.join(device.models)}. A name is <bundle> or <bundle>.<cut>."
            ) from None
        if not device.may_use(bundle):
            raise _denied(device, name)


class GuardedAnswerer:
    """Answers the requests that their device may send: charged to it, and of models that it may use.

    `on_refused` hears of those that are refused here.
    """

    def __init__(
        self, answerer: Answerer, gate: Gate, models: GuardedCatalogue, on_refused: OnRefused
    ) -> None:
        self._on_refused = on_refused
        self._over_limits = BoundedLog(_log, logging.INFO)
        self._answerer = answerer
        self._gate = gate
        self._models = models

    def submit(self, job: Job) -> asyncio.Future[bytes | Later]:
        """Begin a job; see Answerer. What is refused has taken neither a place nor a worker."""
        try:
            self._admit(job)
        except SplitpointError as error:
            if isinstance(error, QuotaError):
                self._over_limits.write(error)
            refused: asyncio.Future[bytes | Later] = asyncio.get_running_loop().create_future()
            refused.add_done_callback(partial(self._on_refused, job))
            refused.set_exception(error)
            return refused
        job.on_unpacked = self._settle
        return self._answerer.submit(job)

    def _settle(self, job: Job) -> None:
        """Charge what a packed request has unfolded to, which nobody knows before."""
        if job.unfolded_bytes:
            self._gate.owe(job.caller, job.unfolded_bytes)

    def _admit(self, job: Job) -> None:
        try:
            device = self._gate.caller()
            self._gate.charge(device, job.size_bytes)
        except SplitpointError:
            job.identify()
            with suppress(SplitpointError):  # it counts under the model that it was for
                model = self._models.find(job.model_name)
                job.served = model.name, model.version
            raise
        if not device.uses_all:
            self._models.check(device, job.model_name)


def access_of(gate: Gate | None) -> Access:
    """Return which bundles a caller may use; without a gate all."""
    return CallerAccess(gate) if gate else OpenAccess()


def guarded(
    models: Catalogue, answerer: Answerer, gate: Gate | None, on_refused: OnRefused
) -> tuple[Catalogue, Answerer]:
    """Return these models and what answers for them, behind the gate if there is one."""
    if gate is None:
        return models, answerer
    catalogue = GuardedCatalogue(models, gate)
    return catalogue, GuardedAnswerer(answerer, gate, catalogue, on_refused)


def _denied(device: RegisteredDevice, name: str) -> DeniedError:
    return DeniedError(
        f"device {device.name} may not use the model {name!r}. It may use: {', '.join(device.models)}."
    )
