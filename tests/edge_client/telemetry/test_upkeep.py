"""What runs out on a device reaches the metrics: its own, and by its telemetry those of the cloud."""

import shutil
from pathlib import Path

from prometheus_client import generate_latest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.telemetry.observer import Observer
from edge_client.telemetry.upkeep import Upkeep
from partitioner.bundle.bundle import Bundle
from protos.security.tls_files import TlsFiles
from protos.serving.metrics import registry_of
from protos.telemetry import read_snapshot
from tests.kit.certificates import DAY, Authority
from tests.kit.observations import families


async def test_certificates_disk_and_version_of_an_edge_are_metrics(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue(valid=(-DAY, 3 * DAY))
    listener = authority.issue(name="listener", valid=(-DAY, 9 * DAY))
    async with AsyncEdgeClient(
        None,
        residual_bundle,
        "edge",
        tls_cert=own.cert,
        tls_key=own.key,
        tls_ca=authority.path,
    ) as client:
        told = Observer(client, "cam-1", listener=listener).peek()
    assert read_snapshot(told.model_dump_json()) == told
    shown = families(generate_latest(registry_of(lambda: [told])).decode())
    ends = shown["splitpoint_edge_tls_certificate_not_after_seconds"]
    assert set(ends) == {("own",), ("listener",), ("authorities",)}
    assert ends["listener",] - ends["own",] == 6 * DAY.total_seconds()
    begins = shown["splitpoint_edge_tls_certificate_not_before_seconds"]
    assert ends["own",] - begins["own",] == 4 * DAY.total_seconds()
    assert 0 < shown["splitpoint_edge_disk_free_bytes"][()] < shutil.disk_usage(tmp_path).total
    assert shown["splitpoint_edge_update_phase"] == {("idle",): 1}
    assert shown["splitpoint_edge_update_refusals_total"] == {(): 0}
    (digest,) = shown["splitpoint_edge_version_info"]
    assert residual_bundle.version_digest.startswith(digest[0])


def test_disk_that_cannot_be_asked_is_left_out(tmp_path: Path) -> None:
    seen = Upkeep(tmp_path / "gone", TlsFiles()).look()
    assert (seen.disk_free_bytes, seen.certificates) == (None, {})
