"""Codecs by name, and which of them takes what."""

import pytest

from protos.codecs.registry import RAW, codec_for, codecs_for, get_codec
from protos.errors import UnknownNameError
from protos.tensors import TensorSpec

IMAGE = TensorSpec("image", "uint8", (-1, 48, 64, 3))


def test_codec_applies_to_what_it_accepts_and_the_rest_travels_raw() -> None:
    jpeg = get_codec("jpeg")
    assert codec_for(jpeg, IMAGE) is jpeg
    assert codec_for(jpeg, TensorSpec("x", "float32", (-1, 3))) is RAW
    assert codecs_for((IMAGE,)) == (RAW, jpeg, get_codec("webp"))


@pytest.mark.parametrize("name", ["png", "jpeg-0", "jpeg-101", "jpeg-", "", "RAW"])
def test_unknown_codec_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Use raw, half"):
        get_codec(name)


def test_names_lead_back_to_their_codec() -> None:
    for name in ("raw", "half", "int8", "jpeg-75", "jpeg-90", "webp-80"):
        assert get_codec(name).name == name
    assert get_codec("jpeg").name == "jpeg-75"
    assert get_codec("webp").name == "webp-75"
