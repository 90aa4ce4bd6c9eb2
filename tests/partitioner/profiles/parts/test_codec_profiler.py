"""Codecs in frames: they run once, behind a stage."""

from types import SimpleNamespace

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.parts import codec_profiler
from partitioner.profiles.parts.codec_profiler import CodecProfiler, with_extra
from tests.kit.profiles import profile_of


def test_codec_takes_longer_behind_a_stage_by_what_it_takes_to_resume(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_ran, now_s = False, 0.0
    monkeypatch.setattr(codec_profiler, "time", SimpleNamespace(perf_counter=lambda: now_s))

    def stage() -> None:
        nonlocal stage_ran
        stage_ran = True

    def codec() -> None:
        nonlocal stage_ran, now_s
        now_s += 0.375 if stage_ran else 0.125
        stage_ran = False

    codecs = CodecProfiler(residual_bundle, guessed=False)
    codecs._calls = {"raw": (codec, lambda: None)}
    extra = codecs.behind(stage)
    assert extra == {"raw": (0.25, 0.0)}
    found = profile_of(residual_bundle, 0.01).cuts["cut-01"]
    slower = with_extra(found, extra).codecs["raw"]
    assert slower.encode_s == found.codecs["raw"].encode_s + 0.25
    assert (slower.resume_s, slower.decode_s) == (0.25, found.codecs["raw"].decode_s)
