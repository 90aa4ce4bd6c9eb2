"""A client that the cloud does not let in: frames go on without it, it says why, and it comes back."""

from pathlib import Path

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import DeniedError
from protos.tensors import Array
from tests.kit.fake_cloud import DENIAL, FakeCloud
from tests.kit.frames import assert_same, frames, whole


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("wrong")
    path.chmod(0o600)
    return path


def correct(token: Path) -> None:
    token.write_text("right")


def check(bundle: Bundle, results: list[Result], inputs: list[dict[str, Array]]) -> None:
    for result, frame in zip(results, inputs, strict=True):
        assert_same(result.outputs, whole(bundle, frame))


async def test_client_with_a_wrong_token_finishes_frames_alone_and_is_not_told_that_the_cloud_is_away(
    residual_bundle: Bundle, token: Path
) -> None:
    inputs = frames(residual_bundle, 5)
    async with FakeCloud(residual_bundle) as cloud:
        cloud.wants_token = "right"
        async with AsyncEdgeClient(
            cloud.address, residual_bundle, "cut-03", token_file=token
        ) as client:
            results = [await client.infer(each) for each in inputs]
            assert isinstance(client.trouble, DeniedError)
            assert str(client.trouble) == DENIAL
            assert client.absence == "the cloud does not let this edge in"
    check(residual_bundle, results, inputs)
    assert {result.served_by for result in results} == {ServedBy.EDGE}
    assert not cloud.requests
    for result in results:
        assert "denies access" in result.reason or "does not let this edge in" in result.reason
        assert "wrong" not in result.reason


async def test_client_is_let_in_with_the_next_token_without_a_restart(
    residual_bundle: Bundle, token: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with FakeCloud(residual_bundle) as cloud:
        cloud.wants_token = "right"
        async with AsyncEdgeClient(
            cloud.address, residual_bundle, "cut-03", token_file=token
        ) as client:
            assert (await client.infer(inputs)).served_by is ServedBy.EDGE
            correct(token)
            while (result := await client.infer(inputs)).served_by is not ServedBy.CLOUD:
                assert result.served_by is ServedBy.EDGE
            assert client.trouble is None


async def test_token_that_is_revoked_in_a_stream_costs_no_frame(residual_bundle: Bundle) -> None:
    inputs = frames(residual_bundle, 6)
    results = []
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03", token="first") as client,
    ):
        cloud.wants_token = "first"
        for place, each in enumerate(inputs):
            if place == 3:
                cloud.wants_token = "second"
                cloud.end_streams()
            results.append(await client.infer(each))
        assert isinstance(client.trouble, DeniedError)
    check(residual_bundle, results, inputs)
    assert [each.served_by for each in results[:3]] == [ServedBy.CLOUD] * 3
    assert [each.served_by for each in results[4:]] == [ServedBy.EDGE] * 2


async def test_client_that_has_to_be_let_in_says_so_when_it_connects(
    residual_bundle: Bundle, token: Path
) -> None:
    async with FakeCloud(residual_bundle) as cloud:
        cloud.wants_token = "right"
        for options in ({"strict": True}, {"on_failure": "fail"}):
            client = AsyncEdgeClient(
                cloud.address, residual_bundle, "cut-03", token_file=token, **options
            )
            with pytest.raises(DeniedError, match=DENIAL):
                await client.connect()
            await client.close()
