"""The client against real gRPC servers: same results as the whole model, in order, in a window."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.codecs.registry import get_codec
from protos.errors import TensorError, UnknownNameError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.names import CLOUD, EDGE
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, crossing_cuts, frames, whole


def test_every_cut_gives_what_the_whole_model_gives(
    residual_bundle: Bundle, residual_address: str
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    wanted = whole(residual_bundle, inputs)
    with EdgeClient(residual_address, residual_bundle, CLOUD) as client:
        for frame, cut in enumerate(residual_bundle.cuts):
            client.set_option(cut)
            result = client.infer(inputs)
            assert_same(result.outputs, wanted)
            assert (result.frame, result.cut, result.codec) == (frame, cut, "raw")
            assert result.served_by == (ServedBy.EDGE if cut == EDGE else ServedBy.CLOUD)
            assert (result.upload_bytes > 0) == (cut != EDGE)


@pytest.mark.parametrize("order", [">f4", "F", "reversed"])
def test_array_of_any_byte_order_and_layout_is_the_same_frame_at_every_cut(
    residual_bundle: Bundle, residual_address: str, order: str
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    (array,) = inputs.values()
    given = {
        ">f4": array.astype(">f4"),
        "F": np.asfortranarray(array),
        "reversed": array[:, :, ::-1].copy()[:, :, ::-1],
    }[order]
    wanted = whole(residual_bundle, inputs)
    with EdgeClient(residual_address, residual_bundle, CLOUD) as client:
        for cut in (CLOUD, crossing_cuts(residual_bundle)[1], EDGE):
            client.set_option(cut)
            assert_same(client.infer(given).outputs, wanted)


async def test_cut_that_moves_in_a_stream_takes_hold_with_the_next_frame(
    residual_bundle: Bundle, residual_address: str
) -> None:
    cuts = [*residual_bundle.cuts] * 3
    inputs = frames(residual_bundle, len(cuts))
    async with AsyncEdgeClient(residual_address, residual_bundle, EDGE, window=1) as client:

        async def moving() -> AsyncIterator[dict[str, np.ndarray]]:
            for cut, frame in zip(cuts, inputs, strict=True):
                client.set_option(cut)
                yield frame

        results = [result async for result in client.stream(moving())]
    assert [result.cut for result in results] == cuts
    for result, frame in zip(results, inputs, strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


def test_jpeg_gives_what_the_model_makes_of_the_decoded_image(image_bundle: Bundle) -> None:
    (inputs,) = frames(image_bundle, 1)
    (spec,) = image_bundle.inputs
    jpeg = get_codec("jpeg-90")
    image = inputs[spec.name]
    decoded = jpeg.decode(jpeg.encode(image, "image"), "uint8", image.shape, spec.name)
    with (
        CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as server,
        EdgeClient(server.address, image_bundle, CLOUD, codec="jpeg-90") as client,
    ):
        result = client.infer(image[0])
    assert result.codec == "jpeg-90"
    assert_same(result.outputs, whole(image_bundle, {spec.name: decoded}))


def test_stages_add_up_to_the_latency(residual_bundle: Bundle, residual_address: str) -> None:
    with EdgeClient(residual_address, residual_bundle, "cut-03") as client:
        for result in client.stream(frames(residual_bundle, 5)):
            t = result.timings
            stages = t.edge_s + t.network_s + t.queue_s + t.cloud_s + t.wait_s
            assert stages == pytest.approx(result.latency_s, abs=1e-9)
            assert min(t.edge_s, t.network_s, t.cloud_s) > 0


async def test_head_of_the_next_frame_runs_while_a_frame_is_in_flight(
    residual_bundle: Bundle,
) -> None:
    second_came = asyncio.Event()

    async def answer(header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        if header.id == "1":
            second_came.set()
        await second_came.wait()  # the first answer waits for the second request
        return await cloud.infer(header, raw)

    async with (
        FakeCloud(residual_bundle, answer) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-03", window=2) as client,
    ):
        results = [result async for result in client.stream(frames(residual_bundle, 2))]
    assert [result.served_by for result in results] == [ServedBy.CLOUD] * 2


def test_stream_that_is_left_early_leaves_the_client_usable(
    residual_bundle: Bundle, residual_address: str
) -> None:
    inputs = frames(residual_bundle, 30)
    with EdgeClient(residual_address, residual_bundle, "cut-03") as client:
        stream = client.stream(inputs)
        assert next(stream).frame == 0
        stream.close()
        assert client.infer(inputs[0]).served_by is ServedBy.CLOUD


def test_error_of_the_source_comes_after_the_results_before_it(
    residual_bundle: Bundle, residual_address: str
) -> None:
    def source() -> Iterator[dict[str, np.ndarray]]:
        yield from frames(residual_bundle, 3)
        raise OSError("the camera was unplugged")

    with EdgeClient(residual_address, residual_bundle, "cut-03") as client:
        results = client.stream(source())
        assert [next(results).frame for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="unplugged"):
            next(results)


def test_cut_edge_needs_no_server(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    with EdgeClient(None, residual_bundle, EDGE) as client:
        result = client.infer(inputs)
        with pytest.raises(UsageError, match="without one"):
            client.set_option("cut-01")
    assert result.served_by is ServedBy.EDGE
    assert_same(result.outputs, whole(residual_bundle, inputs))


def test_wrong_inputs_are_refused_at_the_border(residual_bundle: Bundle) -> None:
    with EdgeClient(None, residual_bundle, EDGE) as client:
        with pytest.raises(TensorError, match=r"float64.*float32\[batch, 3, 32, 32\] is wanted"):
            client.infer(np.zeros((1, 3, 32, 32)))
        with pytest.raises(TensorError, match=r"\[3, 31, 32\]"):
            client.infer(np.zeros((3, 31, 32), np.float32))
        with pytest.raises(TensorError, match="takes exactly"):
            client.infer({"y": np.zeros((1, 3, 32, 32), np.float32)})
        with pytest.raises(TensorError, match="is a list"):
            client.infer([1.0])  # type: ignore[arg-type]


def test_array_without_the_batch_axis_is_a_batch_of_one(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    (array,) = inputs.values()
    with EdgeClient(None, residual_bundle, EDGE) as client:
        assert_same(client.infer(array[0]).outputs, dict(client.infer(array).outputs))


def test_wrong_settings_are_refused_before_anything_happens(residual_bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match="no cut 'cut-99'"):
        EdgeClient("127.0.0.1:1", residual_bundle, "cut-99")
    with pytest.raises(UsageError, match="jpeg-75 cannot carry .* Use raw or half or int8 there"):
        EdgeClient("127.0.0.1:1", residual_bundle, "cut-01", codec="jpeg")
    with pytest.raises(UsageError, match="window of 0"):
        EdgeClient("127.0.0.1:1", residual_bundle, "cut-01", window=0)
    with pytest.raises(UsageError, match="needs a server"):
        EdgeClient(None, residual_bundle, "cut-01")
    with pytest.raises(UsageError, match="leaves no time"):
        EdgeClient("127.0.0.1:1", residual_bundle, "cut-01", timeout_s=0)


def test_frames_can_be_arrays_by_path_of_bundle(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    with EdgeClient(None, str(Path(residual_bundle.path)), EDGE) as client:
        (result,) = client.stream(list(inputs.values()))
    assert_same(result.outputs, whole(residual_bundle, inputs))


@pytest.mark.parametrize("model", ["two_towers", "gated", "transformer"])
@pytest.mark.slow
def test_every_kind_of_input_crosses_every_cut(
    bundles: Callable[[str], Bundle], model: str
) -> None:
    bundle = bundles(model)
    inputs = frames(bundle, 3)
    with CloudServer(bundles=bundle.path, listen="127.0.0.1:0") as server:
        for cut in crossing_cuts(bundle):
            with EdgeClient(server.address, bundle, cut) as client:
                for result, frame in zip(client.stream(inputs), inputs, strict=True):
                    assert_same(result.outputs, whole(bundle, frame))
