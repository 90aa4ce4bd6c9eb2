"""What is packed comes back, what is broken is refused, and no bomb goes off."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_server.rest.payloads.encodings import check_encoding, chosen_encoding, packer, unpack
from protos.errors import TensorError, TooLargeError, UsageError

PACKED = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}
UNPACKED = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}


@given(st.binary(max_size=4096), st.sampled_from(sorted(PACKED)))
def test_bodies_come_back_through_the_standard_library(data: bytes, encoding: str) -> None:
    assert bytes(unpack(memoryview(PACKED[encoding](data)), encoding, 4096)) == data
    assert UNPACKED[encoding](packer(encoding)(data)) == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bomb_is_refused_without_being_unpacked(encoding: str) -> None:
    bomb = memoryview(PACKED[encoding](bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="unfolds to more than the 1,000,000 bytes"):
            unpack(bomb, encoding, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    exact = memoryview(PACKED[encoding](bytes(1000)))
    assert len(unpack(exact, encoding, 1000)) == 1000
    with pytest.raises(TooLargeError):
        unpack(exact, encoding, 999)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_broken_bodies_are_refused(encoding: str) -> None:
    good = PACKED[encoding](b"x" * 1000 + bytes(range(256)))
    flipped = bytearray(good)
    flipped[-6 if encoding == "gzip" else -2] ^= 1
    for bad in (b"", b"plain", good[:-1], good[:20], good + b"more", good + good, bytes(flipped)):
        with pytest.raises(TensorError, match=f"the body is no {encoding}: "):
            unpack(memoryview(bad), encoding, 1 << 20)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(0, 60))
def test_damage_is_an_error_of_ours_or_none(noise: bytes, encoding: str, at: int) -> None:
    good = bytearray(PACKED[encoding](bytes(500)))
    good[at : at + len(noise)] = noise
    try:
        found = unpack(memoryview(bytes(good)), encoding, 10_000)
    except (TensorError, TooLargeError):
        return
    assert len(found) <= 10_000


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", ""), ("gzip", "gzip"), ("deflate", "deflate"), ("GZIP, deflate", "gzip"),
        ("gzip;q=0.1, deflate;q=0.5", "deflate"), ("gzip;q=0", ""), ("*", "gzip"), ("br", ""),
        ("*;q=0", ""), ("gzip;q=0, *", "deflate"), ("gzip;q=x", ""), ("identity", ""), (",;,", ""),
    ],
)  # fmt: skip
def test_answer_is_packed_as_the_client_prefers(accepted: str, chosen: str) -> None:
    assert chosen_encoding(accepted) == chosen


def test_encoding_that_is_not_known_is_refused() -> None:
    assert [check_encoding(name) for name in ("", "identity", "GZip ", "deflate")] == [
        "", "", "gzip", "deflate",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="does not unpack the Content-Encoding 'br'"):
        check_encoding("br")
