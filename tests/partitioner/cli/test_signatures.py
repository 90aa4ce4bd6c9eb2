"""`splitpoint keygen`, `sign` and `permit-rollback`, and what `show` and `verify` say of signatures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app
from partitioner.signatures.keys import read_public_key, read_signing_key
from protos.errors import FileError, SignatureError, UsageError
from tests.kit.signatures import Signer


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def said(*words: object) -> Any:
    done = run(*words, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


@pytest.fixture
def net(residual_bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(residual_bundle.path, tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    run("keygen", "--out", tmp_path / "release")
    (tmp_path / "trusted").mkdir()
    shutil.copy(tmp_path / "release.pub", tmp_path / "trusted")
    return tmp_path / "release"


def test_key_is_made_used_and_trusted(net: Path, key: Path, tmp_path: Path) -> None:
    key_id = read_public_key(tmp_path / "release.pub").id
    trusted = ("--trusted-keys", tmp_path / "trusted", "--require-signature")
    made = said("sign", net, "--key", key)
    assert (made["release"], made["key_ids"], made["bundle"]) == (1, [key_id], "residual")
    assert said("sign", net, "--key", key)["release"] == 2
    shown = said("show", net, *trusted)["signature"]
    assert (shown["release"], shown["key_ids"], shown["trusted"]) == (2, [key_id], True)
    text = "".join(run("show", net, *trusted).stdout.split())
    assert f"release2,bythetrustedkey{key_id}" in text
    assert said("verify", net, *trusted)["signature"]["trusted"] is True


def test_signature_that_nobody_asked_about_is_shown_as_not_checked(net: Path, key: Path) -> None:
    assert said("show", net)["signature"] is None
    said("sign", net, "--key", key)
    assert said("show", net)["signature"]["trusted"] is False
    shown = "".join(run("show", net).stdout.split())
    assert "notchecked;give--trusted-keysFOLDER" in shown


def test_signature_that_would_be_refused_is_shown_with_the_reason(
    net: Path, key: Path, calibrated: Bundle
) -> None:
    said("sign", net, "--key", key)
    document = net / "bundle.json"
    document.write_text(document.read_text() + " ")
    assert "changed since: bundle.json was changed" in said("show", net)["signature"]["wrong"]
    (net / "signature.json").write_text("{")
    assert "cannot be used" in said("show", net)["signature"]["wrong"]


def test_nothing_runs_that_is_not_signed_as_asked(net: Path, key: Path, tmp_path: Path) -> None:
    trusted = ("--trusted-keys", tmp_path / "trusted")
    assert isinstance(run("verify", net, *trusted, "--require-signature").exception, SignatureError)
    assert isinstance(run("show", net, *trusted, "--require-signature").exception, SignatureError)
    assert isinstance(run("verify", net, "--require-signature").exception, UsageError)
    said("keygen", "--out", tmp_path / "other")
    said("sign", net, "--key", tmp_path / "other")
    assert isinstance(run("verify", net, *trusted).exception, SignatureError)
    said("sign", net, "--key", tmp_path / "other", "--key", key)
    assert said("verify", net, *trusted)["ok"] is True


def test_passphrase_comes_from_a_file_of_ones_own(net: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("correct horse\nbattery")
    words.chmod(0o600)
    said("keygen", "--out", tmp_path / "k", "--passphrase-file", words)
    assert read_signing_key(tmp_path / "k", "correct horse")
    assert isinstance(run("sign", net, "--key", tmp_path / "k").exception, UsageError)
    assert said("sign", net, "--key", tmp_path / "k", "--passphrase-file", words)["release"] == 1
    words.chmod(0o644)
    done = run("sign", net, "--key", tmp_path / "k", "--passphrase-file", words)
    assert isinstance(done.exception, FileError)
    for content in (b"", b"\nsecond", b"\xff\xfe"):
        words.write_bytes(content)
        words.chmod(0o600)
        done = run("keygen", "--out", tmp_path / "never", "--passphrase-file", words)
        assert "holds no passphrase" in str(done.exception)
    assert not (tmp_path / "never").exists()


def test_passphrase_that_nobody_can_be_asked_for_is_missed(tmp_path: Path) -> None:
    done = run("keygen", "--out", tmp_path / "k", "--passphrase")
    assert "there is no terminal to ask" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_permission_to_go_back_is_made_for_one_step_or_more(key: Path, tmp_path: Path) -> None:
    words = ("permit-rollback", "digits", "--to-release", 3, "--key", key, "--out")
    made = said(*words, tmp_path / "one.json")
    assert (made["model"], made["to_release"], made["from_release"]) == ("digits", 3, 4)
    assert said(*words, tmp_path / "two.json", "--from-release", 9)["from_release"] == 9
    done = run(*words, tmp_path / "none.json", "--from-release", 3)
    assert "no going back from release 3 to 3 of 'digits'" in str(done.exception)
    done = run(
        "permit-rollback", "a/b", "--to-release", 3, "--key", key, "--out", tmp_path / "none.json"
    )
    assert "Give a bundle's name" in str(done.exception)
    assert not (tmp_path / "none.json").exists()


def test_permission_of_a_folder_lies_in_it_and_a_name_needs_a_file(net: Path, key: Path) -> None:
    words = ("--to-release", 3, "--key", key)
    made = said("permit-rollback", net, *words)
    assert (made["model"], made["path"]) == (Bundle.load(net).name, str(net / "rollback.json"))
    assert (net / "rollback.json").is_file()
    done = run("permit-rollback", "digits", *words)
    assert "digits is no bundle's folder" in str(done.exception)


def test_release_goes_up_only(net: Path, key: Path) -> None:
    said("sign", net, "--key", key, "--release", 5)
    done = run("sign", net, "--key", key, "--release", 5)
    assert "was signed as release 5" in str(done.exception)


def test_whoever_overtakes_a_signature_is_told_to_sign_again(
    exiting: Bundle, tmp_path: Path
) -> None:
    signer = Signer.new(tmp_path / "keys")
    assert "signature" not in run("exits", "threshold", exiting.path).stderr
    signer.sign(exiting.path)
    done = run("exits", "threshold", exiting.path, "--agreement", "0.9")
    assert "Its signature holds no longer. Sign it again: splitpoint sign" in done.stderr
    with pytest.raises(SignatureError, match="exits.npz was changed"):
        Bundle.load(exiting.path, check=signer.trust.check)
    signer.sign(exiting.path)
    assert Bundle.load(exiting.path, check=signer.trust.check)
