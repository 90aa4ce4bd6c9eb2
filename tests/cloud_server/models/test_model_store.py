"""The models that a server offers: their names, their versions, and who gets which."""

import re

import pytest

from cloud_server.models.model_store import ModelStore
from cloud_server.models.tails import TailLimits
from cloud_server.models.version import Version
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import MismatchError, UnknownNameError
from protos.inference_pb2 import ModelInferRequest
from protos.names import PARAM_BUNDLE_DIGEST, PARAM_CALIBRATION_DIGEST, model_name
from tests.kit.calibrations import calibration


def make_store(bundle: Bundle, max_sessions: int = 32) -> ModelStore:
    return ModelStore([Version.of(bundle)], RuntimeOptions(), TailLimits(max_sessions))


def test_every_cut_but_edge_is_a_model(residual_bundle: Bundle) -> None:
    store = make_store(residual_bundle)
    for cut in residual_bundle.cuts.values():
        if cut.id != "edge":
            assert store.find(model_name("residual", cut.id)).inputs == cut.frontier
    assert store.find("residual.cloud") is store.find("residual")
    with pytest.raises(UnknownNameError, match="leaves everything on the edge"):
        store.find("residual.edge")


def test_unknown_names_list_what_exists(residual_bundle: Bundle) -> None:
    store = make_store(residual_bundle)
    with pytest.raises(UnknownNameError, match=r"no model 'resnet'\. It has: residual, residual\."):
        store.find("resnet")
    with pytest.raises(UnknownNameError, match=r"no cut 'conv9'\. It has: cloud, "):
        store.find("residual.conv9")
    with pytest.raises(UnknownNameError, match="no version '2'"):
        store.find("residual", "2")
    with pytest.raises(UnknownNameError, match="no bundle 'resnet'"):
        store.find_bundle("resnet")


@pytest.mark.parametrize(
    ("count", "end"), [(2, "net0, net1."), (12, "net11."), (13, "net11 and 1 more.")]
)
def test_long_lists_of_names_are_abbreviated(residual_bundle: Bundle, count: int, end: str) -> None:
    names = [f"net{number:02}" if count > 10 else f"net{number}" for number in range(count)]
    named = [
        Bundle(residual_bundle.path, residual_bundle.manifest.model_copy(update={"name": name}))
        for name in names
    ]
    store = ModelStore([Version(bundle) for bundle in named], RuntimeOptions())
    with pytest.raises(UnknownNameError, match=f"{re.escape(end)}$"):
        store.find_bundle("resnet")


async def test_preload_takes_cuts_and_models(residual_bundle: Bundle) -> None:
    store = make_store(residual_bundle)
    cut = list(residual_bundle.cuts)[1]
    loaded = await store.preload(["cloud", f"residual.{cut}"])
    assert [model.cut for model in loaded] == ["cloud", cut]
    assert all(store.loaded(model) is not None for model in loaded)
    with pytest.raises(UnknownNameError):
        await store.preload(["nowhere"])


def as_versions(bundles: list[Bundle]) -> list[Version]:
    """Versions of which the last was written last."""
    return [Version(bundle, changed_ns=position) for position, bundle in enumerate(bundles)]


def asking(model: str, *, version: str = "", digest: str = "", mark: str = "") -> ModelInferRequest:
    header = ModelInferRequest(model_name=model, model_version=version)
    if digest:
        header.parameters[PARAM_BUNDLE_DIGEST].string_param = digest
    if mark:
        header.parameters[PARAM_CALIBRATION_DIGEST].string_param = mark
    return header


def test_default_is_the_version_that_was_written_last(net_versions: list[Bundle]) -> None:
    versions = as_versions(net_versions)
    store = ModelStore(versions[::-1], RuntimeOptions())
    assert store.find("net").bundle is net_versions[-1]
    assert store.find_bundle("net") is net_versions[-1]
    assert store.find("net").versions == tuple(one.number for one in versions[::-1])
    assert store.versions == {"net": tuple(versions[::-1])}


def test_release_outranks_any_time(net_versions: list[Bundle]) -> None:
    old, mid, new = net_versions
    versions = [Version(old, 5, 2), Version(mid, 9, 1), Version(new, 11)]
    store = ModelStore(versions, RuntimeOptions())
    assert [one.number for one in store.versions["net"]][:2] == ["2", "1"]
    assert store.find("net", "1").bundle is mid


def test_number_stays_that_of_the_version_that_had_it(net_versions: list[Bundle]) -> None:
    old, new = (
        Version(bundle, changed_ns=ns, release=7)
        for ns, bundle in enumerate(net_versions[:2], start=1)
    )
    store = ModelStore([old], RuntimeOptions())
    refused = store.offer([old, new])
    assert store.find_version("net", "7") is old
    assert list(store.versions["net"]) == [old]
    why = f"{new.bundle.path} is not served: it holds another version 7 than {old.bundle.path}"
    assert why in refused["net"]
    assert store.offer([new]) == {}
    assert store.find_version("net", "7") is new
    assert list(ModelStore([old, new], RuntimeOptions()).versions["net"]) == [new]


def test_each_version_is_found_by_number_and_by_digest(net_versions: list[Bundle]) -> None:
    versions = as_versions(net_versions)
    store = ModelStore(versions, RuntimeOptions())
    for version in versions:
        bundle = version.bundle
        assert 0 <= int(version.number) < 1 << 31
        for called in (version.number, version.digest, bundle.digest, bundle.digest[:12]):
            for model in ("net", "net.cut-01", "net.cloud"):
                assert store.find(model, called).bundle is bundle
            assert store.find_bundle("net", called) is bundle
    for unknown in ("7", "1", versions[0].digest[:11], "x"):
        with pytest.raises(UnknownNameError, match=f"no version '{unknown}'.*{versions[1].number}"):
            store.find("net", unknown)
        with pytest.raises(UnknownNameError, match=f"no version '{unknown}'.*{versions[1].number}"):
            store.find_bundle("net", unknown)


def test_edge_gets_the_version_that_it_holds_or_a_refusal(net_versions: list[Bundle]) -> None:
    old, mid, new = net_versions
    store = ModelStore(as_versions([old, new]), RuntimeOptions())
    for held in (old, new):
        found = store.find_for(asking("net.cut-02", digest=held.digest))
        assert (found.bundle, found.name) == (held, "net.cut-02")
        assert store.find_held("net", held.digest).bundle is held
    assert store.find_for(asking("net")).bundle is new
    known = f"{new.digest[:12]}….*{old.digest[:12]}…"
    with pytest.raises(MismatchError, match=f"{mid.digest[:12]}….*{known}"):
        store.find_for(asking("net", digest=mid.digest))
    with pytest.raises(MismatchError, match=known):
        store.find_held("net", mid.digest)
    with pytest.raises(MismatchError):  # it says two things that are not one version
        store.find_for(asking("net", digest=old.digest, version=Version(new).number))


def calibrated(bundle: Bundle, dictionary: bytes) -> Bundle:
    known = calibration(dictionary)
    meta = CalibrationMeta(
        split_digest=bundle.manifest.split_digest, digest=known.digest, values=(), accuracies=(),
        made_at="2026-01-01T00:00:00+00:00", range_samples=1,
    )  # fmt: skip
    found = BundleCalibration(meta, known, dictionary)
    return Bundle(bundle.path, bundle.manifest, found, contents=bundle.contents)


def test_calibrations_are_versions_that_share_their_tails(net_versions: list[Bundle]) -> None:
    plain = net_versions[0]
    first, second = calibrated(plain, b"one"), calibrated(plain, b"two")
    versions = as_versions([plain, first, second])
    assert len({one.digest for one in versions} | {one.number for one in versions}) == 6
    store = ModelStore(versions, RuntimeOptions())
    for held in (first, second):
        assert held.ranges is not None
        asked = asking("net", digest=held.digest, mark=held.ranges.mark)
        assert store.find_for(asked).bundle is held
    raw = store.find_for(asking("net", digest=plain.digest))
    assert raw.bundle is second
    assert {model.tail for model in (raw, store.find("net", versions[0].number))} == {
        (plain.digest, "cloud")
    }
    unknown = store.find_for(asking("net", digest=plain.digest, mark="0" * 16))
    assert unknown.bundle is second  # whose decoder refuses it, and says why


def test_one_version_in_two_folders_is_one_and_stays_until_both_are_gone(
    net_versions: list[Bundle],
) -> None:
    old, new = net_versions[:2]
    twin = Bundle(old.path.parent, old.manifest, contents=old.contents)
    store = ModelStore(as_versions([old, new, twin]), RuntimeOptions())
    assert [one.bundle for one in store.versions["net"]] == [twin, new]
    store.offer(as_versions([old, new]))
    assert store.find_for(asking("net", digest=old.digest)).bundle is old


def test_names_in_two_cases_are_two_names(net_versions: list[Bundle]) -> None:
    old, new = net_versions[:2]
    shouted = Bundle(new.path, new.manifest.model_copy(update={"name": "NET"}))
    store = ModelStore(as_versions([old, shouted]), RuntimeOptions())
    assert (store.find("net").bundle, store.find("NET").bundle) == (old, shouted)


def test_bundle_whose_name_is_that_of_a_cut_comes_second(net_versions: list[Bundle]) -> None:
    old, new = net_versions[:2]
    cut = Bundle(new.path, new.manifest.model_copy(update={"name": "net.cut-01"}))
    store = ModelStore(as_versions([old]), RuntimeOptions())
    refused = store.offer(as_versions([old, cut]))
    assert f"{cut.path} is not served: it and {old.path}, which is," in refused["net.cut-01"]
    assert store.find("net.cut-01").bundle is old
    assert not store.offer(as_versions([cut]))
    assert list(store.offer(as_versions([old, cut]))) == ["net"]
    assert store.find("net.cut-01").bundle is cut


def test_hidden_bundle_is_refused_until_it_is_shown(net_versions: list[Bundle]) -> None:
    store = ModelStore(as_versions(net_versions), RuntimeOptions())
    store.hide("net")
    for ask in (
        lambda: store.find("net.cut-01"),
        lambda: store.find_for(asking("net", digest=net_versions[0].digest)),
        lambda: store.find_bundle("net"),
        lambda: store.hide("net"),
    ):
        with pytest.raises(UnknownNameError):
            ask()
    with pytest.raises(UnknownNameError, match=r"net was unloaded\. Load it again\.$"):
        store.find("net")
    assert not store.versions
    assert list(store.hidden) == ["net"]
    store.offer(as_versions(net_versions[1:]))
    assert not store.versions
    store.show("net")
    assert store.find("net").bundle is net_versions[2]
