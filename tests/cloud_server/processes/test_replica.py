"""A replica by itself: what it offers follows the front, and nothing else does."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_server.models.version import Version
from cloud_server.options import ServerOptions
from cloud_server.processes.private_calls import OFFER, TOLD_BOOKS, Offer
from cloud_server.processes.replica import Replica
from cloud_server.processes.shares import Assignment
from partitioner.settings.log_options import LogOptions
from protos.errors import UnknownNameError
from tests.kit.versions import make_version


@pytest.fixture
def old(tmp_path: Path) -> Version:
    return Version.of(make_version(tmp_path / "bundles" / "old", 0))


@pytest.fixture
async def replica(old: Version) -> AsyncIterator[Replica]:
    with tempfile.TemporaryDirectory() as folder:  # its name is short, as sockets have to be
        options = ServerOptions(old.bundle.path.parent, processes=2, preload=("cloud",))
        told = Assignment(
            options=options,
            folder=Path(folder),
            number=1,
            socket="one",
            use=None,
            logs=LogOptions(),
        )
        made = Replica(told)
        yield made
        await made.stop(b"0")
        await made.run()


def offer_of(revision: int, *versions: Version, hidden: tuple[str, ...] = ()) -> Offer:
    return Offer(revision, tuple((one.name, one.digest) for one in versions), hidden)


async def follow(replica: Replica, offer: Offer) -> list[str]:
    lacks: list[str] = json.loads(await replica.follow(OFFER.dump_json(offer)))
    return lacks


def offered(replica: Replica) -> list[str]:
    return [one.digest for found in replica._store.versions.values() for one in found]


async def test_replica_offers_what_the_front_does_and_not_what_else_is_in_the_folder(
    replica: Replica, old: Version, tmp_path: Path
) -> None:
    assert offered(replica) == []
    new = Version.of(make_version(tmp_path / "bundles" / "new", 1))
    assert await follow(replica, offer_of(1, old)) == []
    assert offered(replica) == [old.digest]
    assert await follow(replica, offer_of(2, new, old)) == []
    assert offered(replica) == [new.digest, old.digest]
    assert await follow(replica, offer_of(3, new)) == []
    assert offered(replica) == [new.digest]
    assert await follow(replica, offer_of(4, new, hidden=("net",))) == []
    with pytest.raises(UnknownNameError, match="net was unloaded"):
        replica._store.find("net")


async def test_replica_keeps_what_the_front_serves_though_it_is_gone_from_the_disk(
    replica: Replica, old: Version
) -> None:
    await follow(replica, offer_of(1, old))
    shutil.rmtree(old.bundle.path)
    assert await follow(replica, offer_of(2, old, hidden=("net",))) == []  # another was unloaded
    assert await follow(replica, offer_of(3, old)) == []
    assert offered(replica) == [old.digest]
    assert await follow(replica, offer_of(4)) == []
    assert offered(replica) == []


async def test_replica_opens_no_bundle_that_the_front_does_not_serve(
    replica: Replica, old: Version, tmp_path: Path
) -> None:
    other = Version.of(make_version(tmp_path / "bundles" / "other", 1, "other"))
    assert await follow(replica, offer_of(1, old)) == []
    assert [one.name for one in replica._folder.versions] == ["net"]
    assert await follow(replica, offer_of(2, old, other)) == []
    assert offered(replica) == [old.digest, other.digest]


async def test_replica_says_which_versions_it_lacks(replica: Replica, old: Version) -> None:
    lacking = replace(offer_of(1, old), versions=(("net", old.digest), ("net", "0" * 64)))
    assert await follow(replica, lacking) == ["net"]
    assert offered(replica) == [old.digest]


async def test_offer_that_was_overtaken_changes_nothing(replica: Replica, old: Version) -> None:
    assert await follow(replica, offer_of(5, old, hidden=("net",))) == []
    assert await follow(replica, offer_of(4, old)) == []
    assert offered(replica) == []


async def test_replica_loads_ahead_and_tells_of_it(replica: Replica, old: Version) -> None:
    await follow(replica, offer_of(1, old))
    told = TOLD_BOOKS.validate_json(await replica.tell(b""))
    assert told.loads == 1
    assert [key for key, _ in told.tail_bytes] == [("net", old.number)]
    assert told.costs.resident_bytes > 1 << 20
