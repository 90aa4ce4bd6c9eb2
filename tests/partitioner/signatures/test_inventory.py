"""Nothing lies in the folder of a signed bundle but its files: extras and links are refused, by name."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.signatures.inventory import check_inventory
from partitioner.signatures.signer import sign_bundle
from protos.errors import SignatureError
from tests.kit.heads import middle
from tests.kit.signatures import Signer

Spoil = Callable[[Path], None]


def second_name_outside(folder: Path) -> None:
    os.link(folder / "graphs" / "weights.bin", folder.parent / "weights.bin")


def link_within(folder: Path) -> None:
    """To a file that is in order itself."""
    graph = folder / "graph.json"
    (folder / "profiles").mkdir()
    graph.rename(folder / "profiles" / "graph.json")
    graph.symlink_to(folder / "profiles" / "graph.json")


def folder_that_is_a_link(folder: Path) -> None:
    (folder / "graphs").rename(folder.parent / "graphs")
    (folder / "graphs").symlink_to(folder.parent / "graphs")


def socket_in_it(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket may have 108 bytes
        try:
            one.bind("s")
        finally:
            os.chdir(here)


def folder_of_profiles(folder: Path) -> None:
    (folder / "profiles" / "sub").mkdir(parents=True)


def profile_that_is_a_link(folder: Path) -> None:
    (folder / "profiles").mkdir()
    (folder / "profiles" / "e.json").symlink_to("/etc/hostname")


EXTRAS: dict[str, tuple[Spoil, str]] = {
    "a file": (lambda folder: (folder / "notes.txt").touch(), "'notes.txt', which is no part"),
    "a hidden file": (lambda folder: (folder / ".x").touch(), "'.x', which is no part"),
    "a graph": (
        lambda folder: (folder / "graphs" / "x.onnx").touch(),
        "'graphs/x.onnx', which is no",
    ),
    "a folder": (lambda folder: (folder / "more").mkdir(), "'more', which is no part"),
    "a folder of profiles": (folder_of_profiles, "'profiles/sub', which is no part"),
    "a link": (lambda folder: (folder / "x").symlink_to("/etc/passwd"), "'x', which is a link"),
    "a link to nowhere": (lambda folder: (folder / "x").symlink_to("no"), "'x', which is a link"),
    "a link within": (link_within, "'graph.json', which is a link"),
    "a profile that is a link": (profile_that_is_a_link, "'profiles/e.json', which is a link"),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "'pipe', which is no file"),
    "a socket": (socket_in_it, "'s', which is no file"),
    "a second name": (second_name_outside, "'graphs/weights.bin', which has 1 other name outside"),
}


@pytest.mark.parametrize("what", EXTRAS)
def test_what_is_extra_is_neither_signed_nor_run(signer: Signer, signed: Path, what: str) -> None:
    spoil, said = EXTRAS[what]
    spoil(signed)
    with pytest.raises(SignatureError, match=said):
        Bundle.load(signed, check=signer.trust.check)
    before = (signed / "signature.json").read_bytes()
    with pytest.raises(SignatureError, match=said):
        sign_bundle(Bundle.load(signed), [signer.key])
    assert (signed / "signature.json").read_bytes() == before


def test_graphs_behind_a_link_are_outside_of_the_bundle(signer: Signer, signed: Path) -> None:
    folder_that_is_a_link(signed)
    with pytest.raises(Exception, match="outside the bundle"):
        Bundle.load(signed, check=signer.trust.check)


def test_profiles_and_rules_of_batches_may_come_and_go(signer: Signer, signed: Path) -> None:
    (signed / "profiles").mkdir()
    (signed / "profiles" / "edge.json").write_text("{}")
    (signed / "serving.toml").write_text("max_batch_size = 8")
    assert Bundle.load(signed, check=signer.trust.check)


def test_two_names_within_the_folder_lead_nowhere_else(signed: Path) -> None:
    (signed / "profiles").mkdir()
    os.link(signed / "graph.json", signed / "profiles" / "graph.json")
    check_inventory(Bundle.load(signed))


def test_device_with_heads_alone_holds_no_other_graphs(
    signer: Signer, signed: Path, tmp_path: Path
) -> None:
    whole = Bundle.load(signed)
    held = export_heads(whole, tmp_path / "held", [middle(whole)]).path
    (held / "graphs" / "model.onnx").write_bytes((signed / "graphs" / "model.onnx").read_bytes())
    with pytest.raises(SignatureError, match="'graphs/model.onnx', which is no part"):
        Bundle.load(held, check=signer.trust.check)
