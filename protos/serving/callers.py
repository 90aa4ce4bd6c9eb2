"""The caller of a request, as the gate of a server has found it."""

from contextvars import ContextVar

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""The name of the device that makes the call which this task serves; empty: callers have no names here."""
