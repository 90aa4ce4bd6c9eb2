"""A server with several versions of a name: the edge finds its own, or is told what there is."""

import json
import shutil
from pathlib import Path

import pytest

from cloud_server.models.version import Version
from cloud_server.server import CloudServer
from edge_client.cloud.greeting import check_bundle
from partitioner.bundle.bundle import Bundle
from protos.errors import MismatchError, UnknownNameError
from protos.splitpoint_pb2 import ListBundlesResponse
from tests.kit.edge_commands import invoke

Entry = ListBundlesResponse.Entry


def entry(bundle: Bundle, calibration_digest: str = "") -> Entry:
    return Entry(name=bundle.name, digest=bundle.digest, calibration_digest=calibration_digest)


def test_own_version_is_found_among_others(net_versions: list[Bundle]) -> None:
    for order in (net_versions, net_versions[::-1]):
        offered = ListBundlesResponse(bundles=[entry(bundle) for bundle in order])
        for bundle in net_versions:
            assert check_bundle(offered, "cloud:1", bundle).digest == bundle.digest


def test_version_with_the_own_calibration_goes_before_others(net_versions: list[Bundle]) -> None:
    held = net_versions[0]  # not calibrated
    for order in (("f00d", ""), ("", "f00d")):
        offered = ListBundlesResponse(bundles=[entry(held, digest) for digest in order])
        assert check_bundle(offered, "cloud:1", held).calibration_digest == ""
    only_other = ListBundlesResponse(bundles=[entry(held, "f00d")])
    assert check_bundle(only_other, "cloud:1", held).calibration_digest == "f00d"


def test_all_versions_are_named_to_an_edge_whose_own_is_not_there(
    net_versions: list[Bundle], residual_bundle: Bundle
) -> None:
    *others, held = net_versions
    offered = ListBundlesResponse(bundles=[entry(bundle) for bundle in others])
    both = "…, ".join(bundle.digest[:12] for bundle in others)
    with pytest.raises(MismatchError, match=f"{both}… there, {held.digest[:12]}… here"):
        check_bundle(offered, "cloud:1", held)
    with pytest.raises(UnknownNameError, match="It has: net. Put"):
        check_bundle(offered, "cloud:1", residual_bundle)


def test_command_fetches_the_version_that_it_is_told(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    for number, bundle in enumerate(net_versions):
        shutil.copytree(bundle.path, tmp_path / "bundles" / str(number))
    with CloudServer(tmp_path / "bundles") as server:
        words = ("fetch", "net", "--cloud", server.address, "--json")
        for number, bundle in enumerate(net_versions):
            out = tmp_path / f"copy-{number}"
            done = invoke(*words, "--out", out, "--version", Version(bundle).number)
            assert json.loads(done.stdout)["digest"] == bundle.digest
        refused = invoke(*words, "--out", tmp_path / "no", "--version", "7")
    assert refused.exit_code != 0
    assert "has no version '7'" in str(refused.exception)
    assert not (tmp_path / "no").exists()
