"""The rule book: what holds for a version's requests, before and after its tails were tried."""

import gc
import logging
import shutil
import threading
from pathlib import Path

import pytest

from cloud_server.engine.batch_rules import BatchRules
from cloud_server.engine.rule_book import RuleBook
from cloud_server.models.version import Model, Version, models_of
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SERVING_FILE
from partitioner.runtime.chain import Chain
from partitioner.runtime.sessions import Stage

CUT = "cut-02"
EIGHT = BatchRules(max_batch_size=8, preferred_batch_size=(4,), max_queue_delay_us=9)
ALONE = BatchRules(max_queue_delay_us=9)


def model_of(bundle: Bundle, cut: str = CUT) -> Model:
    models = models_of([Version.of(bundle)])
    return next(found[0] for found in models.values() if found[0].cut == cut)


@pytest.fixture
def stage(residual_bundle: Bundle) -> Stage:
    return residual_bundle.open_tail(CUT)


async def test_requests_run_alone_until_their_tail_was_tried(
    residual_bundle: Bundle, stage: Stage
) -> None:
    model, go_on = model_of(residual_bundle), threading.Event()

    def slowly(_: Stage) -> str:
        assert go_on.wait(30)
        return ""

    book = RuleBook(EIGHT, slowly)
    assert book.of(model, stage) == ALONE
    go_on.set()
    await book.prove(model, stage)
    assert book.of(model, stage) == EIGHT
    book.close()


async def test_nothing_is_kept_of_versions_that_are_gone(
    net_versions: list[Bundle],
) -> None:
    book = RuleBook(EIGHT, lambda _: "")
    for bundle in (*net_versions, *net_versions):
        model = model_of(Bundle.load(bundle.path))
        await book.prove(model, bundle.open_tail(CUT))
        digest = model.bundle.digest
        del model
        gc.collect()
    assert {key[0] for key in book._proofs} == {digest}
    book.close()


async def test_tail_is_tried_once_in_one_session_and_once_in_segments(
    residual_bundle: Bundle, stage: Stage
) -> None:
    tried: list[Stage] = []

    def noted(one: Stage) -> str:
        tried.append(one)
        return ""

    book = RuleBook(EIGHT, noted)
    chain = Chain([stage], stage.inputs, stage.outputs)
    for one in (stage, stage, chain, chain):
        await book.prove(model_of(residual_bundle), one)
    assert tried == [stage, chain]


async def test_tail_that_cannot_be_tried_or_mixes_rows_runs_alone_and_the_log_says_why(
    residual_bundle: Bundle, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def bug(_: Stage) -> str:
        raise ValueError("a bug")

    model = model_of(residual_bundle)
    for depends, said in ((bug, "it cannot be tried"), (lambda _: "rows depend", "rows depend")):
        book = RuleBook(EIGHT, depends)
        await book.prove(model, stage)
        assert book.of(model, stage) == ALONE
        assert f"{model.name} is computed one request at a time: {said}" in caplog.text


async def test_version_that_comes_later_with_a_bad_file_is_served_by_the_options(
    residual_bundle: Bundle, stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "own"))
    (bundle.path / SERVING_FILE).write_text("max_batch = 8")
    model, book = model_of(bundle), RuleBook(ALONE)
    assert book.of(model, stage) == ALONE
    assert book.of(model, stage) == ALONE
    assert caplog.text.count("max_batch: there is no such field") == 1
    (bundle.path / SERVING_FILE).write_text("[dynamic_batching]\nmax_queue_delay_microseconds = 7")
    again = model_of(bundle)  # as it is after a reload
    assert book.of(again, stage) == BatchRules(max_queue_delay_us=7)
