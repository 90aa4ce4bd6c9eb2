"""Every error that Splitpoint raises on purpose, sorted by who can mend it.

    SplitpointError
    ├── CallerError          the person or the program that called us
    │   ├── UsageError           a parameter, a unit or a combination that has no meaning
    │   ├── ModelError           a source model that cannot be imported or run
    │   ├── UnknownNameError     no such bundle, cut or codec
    │   ├── TensorError          a tensor of the wrong name, type, shape or size
    │   └── InfeasibleError      constraints that no option meets together
    ├── FileError            what lies on the disk
    │   ├── BundleError          a bundle that is damaged, unreadable or too new
    │   │   └── SignatureError       its signature is missing, forged or of nobody who is trusted
    │   ├── ProfileError         a profile that is missing, unreadable or of another bundle
    │   ├── SourceError          frames that cannot be read
    │   ├── TraceError           a trace that is damaged, or of an unknown format
    │   └── CredentialError      a certificate, key or token that cannot be used
    ├── NetworkError         the link between edge and cloud
    │   ├── UnreachableError     no server answers at the address
    │   └── LateError            no answer before the deadline
    └── ServerError          the cloud side
        ├── MismatchError        the cloud's bundle differs from the edge's
        │   └── CalibrationError     only its calibration does
        ├── DeniedError          the server does not let this caller do this
        │   └── UnauthenticatedError it does not know who calls
        ├── TooLargeError        a message over the server's limit
        ├── OverloadedError      the server takes no more work now
        └── FaultError           the server failed; its log says why

The text of an error is its public sentence: what was found, what was wanted, what to do. A parameter
stands in backticks in it, as `deadline`; commands show the flag instead (partitioner/terminal/flag_names.py).
It may cross the wire. What only a developer should see stays in `__cause__` and in the log.
"""

import re
from typing import Final, Self

PASSING: Final = 4
"""The exit status for what may pass by itself: trying again can help, though nobody changes anything."""


def reason(error: BaseException) -> str:
    """Return what a foreign error says, to stand within a sentence: no number, path, object or full stop."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return re.sub(r" <[^<>]* at 0x\w+>", "", said).strip().rstrip(".")


def plural(count: float, noun: str, many: str = "") -> str:
    """Return `1 frame`, `2.5 frames`, `1,024 frames`; `many` where the plural is not the noun with an s."""
    number = f"{count:g}" if isinstance(count, float) else f"{count:,}"
    return f"{number} {noun if count == 1 else many or f'{noun}s'}"


class SplitpointError(Exception):
    """Base of all; `exit_status` is what a command ends with."""

    exit_status = 1

    def passing(self) -> Self:
        """Return this error as one that may pass by itself, such as a port that is taken."""
        self.exit_status = PASSING
        return self


class CallerError(SplitpointError):
    """The caller can mend it."""

    exit_status = 2


class UsageError(CallerError):
    """A parameter, a unit or a combination of them that has no meaning."""


class ModelError(CallerError):
    """A source model that cannot be imported or run."""


class UnknownNameError(CallerError):
    """No bundle, cut or codec has this name."""


class TensorError(CallerError):
    """A tensor of the wrong name, data type, shape or size."""


class InfeasibleError(CallerError):
    """No option meets all constraints; `document` says in plain data which to relax, and how far."""

    exit_status = 6

    def __init__(self, text: str, document: dict[str, object] | None = None) -> None:
        super().__init__(text)
        self.document = document or {}


class FileError(SplitpointError):
    """Something on the disk is missing or wrong."""

    exit_status = 3


class BundleError(FileError):
    """A bundle that is damaged, unreadable or of a newer schema."""


class SignatureError(BundleError):
    """A bundle whose signature is missing, forged, outdated or of nobody who is trusted."""


class ProfileError(FileError):
    """A profile that is missing, unreadable or of another bundle."""


class SourceError(FileError):
    """Frames that cannot be read."""


class TraceError(FileError):
    """A trace of a link that is missing, damaged or of an unknown format."""


class CredentialError(FileError):
    """A certificate, key or token that is missing, damaged, or open to others."""


class NetworkError(SplitpointError):
    """The link between edge and cloud failed."""

    exit_status = PASSING


class UnreachableError(NetworkError):
    """No server answers at the cloud's address; its `cause` is a predicate, as `refuses connections`.

    `needs_a_person`: it does not pass by itself, as a certificate of another name does not.
    """

    def __init__(self, text: str, cause: str = "is away", *, needs_a_person: bool = False) -> None:
        super().__init__(text)
        self.cause = cause
        self.needs_a_person = needs_a_person
        if needs_a_person:
            self.exit_status = ServerError.exit_status


class LateError(NetworkError):
    """No answer came before the deadline."""


class ServerError(SplitpointError):
    """The cloud side failed or refused."""

    exit_status = 5


class MismatchError(ServerError):
    """The cloud's bundle is not the edge's."""


class CalibrationError(MismatchError):
    """The cloud's calibration of the bundle is not the edge's."""


class DeniedError(ServerError):
    """The server does not let this caller do this."""


class UnauthenticatedError(DeniedError):
    """The server does not know who calls: no token or certificate, or none that it takes."""


class TooLargeError(ServerError):
    """A message over the limit of its receiver."""


class OverloadedError(ServerError):
    """The server takes no more work now, or no more of this caller; 0 s: it cannot say when it will again."""

    exit_status = PASSING

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class QuotaError(OverloadedError):
    """This device asks for more than it may take, however much the server could."""


class MeasuringError(OverloadedError):
    """The server measures a profile for somebody else, and measures one at a time."""


class FaultError(ServerError):
    """The server failed; its log says why."""
