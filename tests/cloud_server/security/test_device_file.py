"""The file of devices: private, whole, and one change at a time."""

import json
import stat
import threading
from pathlib import Path

import pytest

from cloud_server.security.device_file import changing, read_devices
from protos.errors import FileError, UsageError
from tests.kit.devices import device_of, enrol, put


def test_what_is_written_comes_back_and_holds_no_token(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    device, token = device_of("cam", "infer", "fetch", models=["digits"])
    put(path, device)
    assert read_devices(path).devices == (device,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert token.text not in text
    assert token.text[-64:] not in text
    assert json.loads(text)["schema_version"] == 1


def test_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    enrol(path, "cam", "infer")
    path.chmod(0o644)
    with pytest.raises(FileError, match="the file of devices .*so that others may read it"):
        read_devices(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["devices"].append(document["devices"][0]),
        lambda document: document["devices"].append({**document["devices"][0], "name": "CAM"}),
        lambda document: document["devices"].append({**document["devices"][0], "name": "other"}),
        lambda document: document["devices"][0].update(roles=["root"]),
        lambda document: document["devices"][0].update(admin=True),
        lambda document: document["devices"][0]["tokens"][0].update(sha256="abc"),
        lambda document: document["devices"][0]["limits"].update(streams=0),
        lambda document: document.update(schema_version=2),
    ],
    ids="twin, twin of another case, twin key, role, field, digest, limit, version".split(", "),
)
def test_damaged_file_is_refused_as_a_whole(tmp_path: Path, change: object) -> None:
    path = tmp_path / "devices.json"
    token = enrol(path, "cam", "infer")
    document = json.loads(path.read_text())
    change(document)  # type: ignore[operator]
    path.write_text(json.dumps(document))
    with pytest.raises(FileError, match=r"is damaged: .*Put a copy back") as caught:
        read_devices(path)
    assert token.digest not in str(caught.value)


def test_cut_off_file_is_damaged_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_devices(path)
    enrol(path, "cam", "infer")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError, match="is damaged"):
        read_devices(path)


def test_changes_at_the_same_time_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    names = [f"cam-{number}" for number in range(12)]
    threads = [threading.Thread(target=enrol, args=(path, name, "infer")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(device.name for device in read_devices(path).devices) == sorted(names)


def test_device_that_is_served_makes_no_way_and_an_unknown_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    enrol(path, "cam", "infer")
    with changing(path) as file:
        with pytest.raises(UsageError, match="there is a device cam already"):
            file.check_free("Cam")
        with pytest.raises(UsageError, match=r"no device 'com'\. There are: cam\."):
            file.find("com")


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match="cannot be changed: No such file or directory"),
        changing(tmp_path / "none" / "devices.json"),
    ):
        pass
