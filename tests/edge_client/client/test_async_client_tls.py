"""A client whose connections TLS secures: what breaks it, and how it comes back."""

from pathlib import Path

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import CredentialError, UnreachableError
from protos.security.server_tls import ServerTls
from tests.kit.certificates import Authority
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, frames, whole


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


async def test_certificate_is_renewed_under_a_stream_that_goes_on(
    residual_bundle: Bundle, authority: Authority
) -> None:
    inputs = frames(residual_bundle, 6)
    tls = ServerTls(authority.issue())
    async with (
        FakeCloud(residual_bundle, credentials=tls.credentials()) as cloud,
        AsyncEdgeClient(
            cloud.address, residual_bundle, "cut-03", tls_ca=authority.path, on_failure="fail"
        ) as client,
    ):
        for place, each in enumerate(inputs):
            if place % 2:
                authority.issue()
                tls.look()
            result = await client.infer(each)
            assert result.served_by is ServedBy.CLOUD
            assert_same(result.outputs, whole(residual_bundle, each))
        assert cloud.streams == 1


async def test_cloud_that_comes_back_with_the_certificate_of_another_gets_no_frame_until_it_has_its_own(
    residual_bundle: Bundle, authority: Authority, tmp_path: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    stranger = Authority(tmp_path / "theirs")
    good, bad = ServerTls(authority.issue()), ServerTls(stranger.issue())
    async with FakeCloud(residual_bundle, credentials=good.credentials()) as cloud:
        client = AsyncEdgeClient(cloud.address, residual_bundle, "cut-03", tls_ca=authority.path)
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
        port = int(cloud.address.rpartition(":")[2])
    try:
        async with FakeCloud(residual_bundle, port=port, credentials=bad.credentials()) as cloud:
            wrong = "the cloud has a certificate by an authority that is not trusted here"
            while client.absence != wrong:
                assert (await client.infer(inputs)).served_by is ServedBy.EDGE
            assert isinstance(client.trouble, UnreachableError)
            assert "`tls_ca`" in str(client.trouble)
            assert not cloud.requests
        async with FakeCloud(residual_bundle, port=port, credentials=good.credentials()) as cloud:
            while (result := await client.infer(inputs)).served_by is not ServedBy.CLOUD:
                assert result.served_by is ServedBy.EDGE
    finally:
        await client.close()


async def test_client_with_files_of_no_use_is_not_made(
    residual_bundle: Bundle, authority: Authority
) -> None:
    own = authority.issue("camera-1", name="camera")
    assert own.key
    with pytest.raises(CredentialError, match=r"nowhere\.crt cannot be read"):
        AsyncEdgeClient("127.0.0.1:1", residual_bundle, tls_ca="nowhere.crt")
    with pytest.raises(CredentialError, match="no private key in PEM"):
        AsyncEdgeClient("127.0.0.1:1", residual_bundle, tls_cert=own.cert, tls_key=authority.path)
