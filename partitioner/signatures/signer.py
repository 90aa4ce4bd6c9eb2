"""The signer of bundles: one more release of a model, under one or more keys."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SIGNATURE_FILE
from partitioner.common.files import whole_file
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.inventory import check_inventory
from partitioner.signatures.keys import SigningKey
from partitioner.signatures.statement import BUNDLE_TYPE, MOST_RELEASES, Statement
from partitioner.signatures.trust import Signed, stated
from protos.errors import SignatureError, UsageError


def sign_bundle(
    bundle: Bundle,
    keys: Sequence[SigningKey],
    release: int | None = None,
    now: datetime | None = None,
) -> Signed:
    """Sign all files of a bundle as a new release (None: one more than the last), in its folder.

    Raises UsageError for a release that is not above the last, BundleError for a head-only bundle or one
    with more in its folder than belongs there, and FileError when the disk refuses; the signature that was
    there is then as it was.
    """
    bundle.need_whole("signing it")
    check_inventory(bundle)
    number = _next_release(bundle, release)
    moment = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    statement = Statement.of(bundle, number, moment)
    envelope = Envelope.seal(BUNDLE_TYPE, statement.to_bytes(), keys)
    write_envelope(bundle.folder_for("the signature") / SIGNATURE_FILE, envelope)
    return Signed(statement, envelope.key_ids)


def write_envelope(path: Path, envelope: Envelope) -> None:
    """Write an envelope; it appears whole or not at all. Raises FileError."""
    with whole_file(path) as partial:
        partial.write_bytes(envelope.to_bytes())


def _next_release(bundle: Bundle, release: int | None) -> int:
    try:
        last = stated(bundle)
    except SignatureError as error:
        if release is None:
            raise UsageError(
                f"{error} Its release cannot be told, so that the next one cannot either: give `release`, "
                "above all that were."
            ) from error
        last = None
    lowest = last.release + 1 if last else 1
    number = lowest if release is None else release
    if not lowest <= number <= MOST_RELEASES:
        was = f"was signed as release {last.release}, and numbers only grow" if last else "is new"
        raise UsageError(
            f"{bundle.name} {was}, so that it cannot be release {number}. Give {lowest} or more, or leave it "
            "out."
        )
    return number
