"""A replica's services behind a proxy: what edges find there."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.download import fetch_bundle
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, UnknownNameError
from tests.kit.frames import crossing_cuts, frames, whole
from tests.kit.serve_proxy import serve_proxy


async def test_edge_without_a_stream_there_is_served_by_calls(residual_bundle: Bundle) -> None:
    cut = crossing_cuts(residual_bundle)[0]
    async with (
        serve_proxy(residual_bundle.path) as address,
        AsyncEdgeClient(address, residual_bundle, cut=cut, codec="raw") as client,
    ):
        for frame in frames(residual_bundle, 3):
            result = await client.infer(frame)
            assert (result.served_by, result.error) == (ServedBy.CLOUD, None)
            assert result.timings.cloud_s > 0
            for name, value in whole(residual_bundle, frame).items():
                np.testing.assert_allclose(result.outputs[name], value, rtol=1e-4, atol=1e-5)


async def test_codecs_of_ours_are_decoded_there(residual_bundle: Bundle) -> None:
    cut = crossing_cuts(residual_bundle)[0]
    async with (
        serve_proxy(residual_bundle.path) as address,
        AsyncEdgeClient(address, residual_bundle, cut=cut, codec="int8") as client,
    ):
        result = await client.infer(frames(residual_bundle, 1)[0])
    assert (result.served_by, result.codec) == (ServedBy.CLOUD, "int8")


async def test_bundle_is_fetched_through_a_proxy(residual_bundle: Bundle, tmp_path: Path) -> None:
    async with serve_proxy(residual_bundle.path) as address:
        copy = await asyncio.to_thread(
            fetch_bundle, address, residual_bundle.name, tmp_path / "copy"
        )
        assert copy.version_digest == residual_bundle.version_digest
        with pytest.raises(UnknownNameError, match="has no bundle 'other'"):
            await asyncio.to_thread(fetch_bundle, address, "other", tmp_path / "other")


async def test_folder_without_a_bundle_lets_no_replica_start(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no bundle"):
        async with serve_proxy(tmp_path):
            pass
