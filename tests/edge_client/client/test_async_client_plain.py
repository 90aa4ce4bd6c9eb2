"""The edge and a standard server: frames, what it lacks, and when it dies."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.cloud.stream import InferStream
from edge_client.control.plain_plan import plan_with_plain_server
from edge_client.frames.result import Result, ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.exports.triton_repository import TritonOptions, export_triton
from partitioner.network.link import Link
from partitioner.runtime.sessions import RuntimeOptions
from protos import inference_pb2 as oip
from protos.codecs.registry import get_codec
from protos.errors import MismatchError, SplitpointError, UnknownNameError
from protos.rpc.endpoints import Endpoint
from protos.tensors import Array
from tests.kit.clients import breaker_of, look_again, stop_watching
from tests.kit.frames import assert_same, frames, whole
from tests.kit.plain_server import PlainServer
from tests.kit.profiles import steady
from tests.kit.sockets import free_port

CUTS = ("cut-02", "cut-04")


@pytest.fixture(autouse=True)
def patience_with_many_models(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is asked about all of its models may take its time on a busy test machine."""
    monkeypatch.setattr("edge_client.client.session._ALONE_AFTER_S", 60.0)


@pytest.fixture(scope="module")
def repository(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "models"
    options = TritonOptions(CUTS, ("half", "int8"), ensembles=False)
    export_triton(residual_bundle, out, options)
    return out


def by_our_codec(
    bundle: Bundle, cut: str, codec: str, inputs: dict[str, Array]
) -> dict[str, Array]:
    """Head, our own codec there and back, and tail, all of them here."""
    values = bundle.open_head(cut).run(inputs)
    by = get_codec(codec)
    decoded = {
        spec.name: by.decode(
            by.encode(values[spec.name], spec.name), spec.dtype, values[spec.name].shape, spec.name
        )
        for spec in bundle.cut(cut).frontier
    }
    return bundle.open_tail(cut).run(decoded)


@pytest.mark.parametrize("codec", ["raw", "half", "int8"])
async def test_standard_server_serves_frames_by_the_codec_that_it_decodes(
    residual_bundle: Bundle, repository: Path, codec: str
) -> None:
    inputs = frames(residual_bundle, 3)
    async with (
        PlainServer(repository) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-04", codec=codec) as client,
    ):
        results = await asyncio.gather(*map(client.infer, inputs))
        assert client.server is not None
        assert client.server.plain is not None
        assert client.server.plain.name == "standard 2.0"
    for each, result in zip(inputs, results, strict=True):
        assert result.served_by is ServedBy.CLOUD
        wanted = by_our_codec(residual_bundle, "cut-04", codec, each)
        assert_same(result.outputs, wanted)
    name = "residual.cut-04" if codec == "raw" else f"residual.cut-04.{codec}"
    assert {request.model_name for request in server.requests} == {name}
    assert [dict(request.parameters) for request in server.requests] == [{}] * 3
    assert (server.streamed, server.calls) == (3, 0)


async def test_frame_that_comes_while_the_stream_ends_costs_no_other_its_server(
    residual_bundle: Bundle, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = frames(residual_bundle, 2)
    late: list[asyncio.Task[Result]] = []
    end = InferStream._end

    def end_later(stream: InferStream, error: SplitpointError) -> None:
        """Let another frame look at the stream that has ended before those that it fails hear of it."""
        stream.ended = True
        if not late:
            late.append(asyncio.create_task(client.infer(inputs[1])))
        asyncio.get_running_loop().call_later(0.05, end, stream, error)

    monkeypatch.setattr(InferStream, "_end", end_later)
    async with (
        PlainServer(repository, streams="unknown", has_index=False) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-02") as client,
    ):
        first = await client.infer(inputs[0])
        assert [first.served_by, (await late[0]).served_by] == [ServedBy.CLOUD] * 2, first.reason


@pytest.mark.parametrize("streams", ["unknown", "broken"])
async def test_server_whose_streams_do_not_answer_is_asked_by_single_calls(
    residual_bundle: Bundle, repository: Path, streams: str
) -> None:
    inputs = frames(residual_bundle, 6)
    async with (
        PlainServer(repository, streams=streams, has_index=streams == "broken") as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-02") as client,
    ):
        results = [*await asyncio.gather(*map(client.infer, inputs[:3]))]
        results += [await client.infer(each) for each in inputs[3:]]
    assert [result.served_by for result in results] == [ServedBy.CLOUD] * 6
    for each, result in zip(inputs, results, strict=True):
        assert_same(result.outputs, whole(residual_bundle, each))
    assert server.calls == 6


@pytest.mark.parametrize(("state", "ready"), [("State.READY", True), ("LOADING", False)])
async def test_models_are_used_once_the_index_says_that_they_are_ready(
    residual_bundle: Bundle, repository: Path, state: str, ready: bool
) -> None:
    async with PlainServer(repository) as server:
        server.ready_word = state  # as MLServer says it
        async with AsyncEdgeClient(server.address, residual_bundle, "cut-02") as client:
            assert client.cloud_is_away is not ready


async def test_values_that_a_codec_cannot_keep_go_to_the_tail_itself(
    residual_bundle: Bundle, repository: Path
) -> None:
    inputs = {
        name: np.full_like(array, np.inf) for name, array in frames(residual_bundle, 1)[0].items()
    }
    async with (
        PlainServer(repository) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-02", codec="int8") as client,
    ):
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
    assert [request.model_name for request in server.requests] == ["residual.cut-02"]


@pytest.mark.parametrize("fault", ["rows", "contents"])
async def test_answer_is_taken_in_either_form_and_not_with_other_rows(
    residual_bundle: Bundle, repository: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def twist(_server: PlainServer, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        answer = answer_rightly(_server, request)
        (data,), output = answer.raw_output_contents, answer.outputs[0]
        if fault == "rows":  # those of two callers, not told apart
            answer.raw_output_contents[0], output.shape[0] = 2 * data, 2
        else:
            output.contents.fp32_contents.extend(np.frombuffer(data, np.float32).tolist())
            del answer.raw_output_contents[:]
        return answer

    answer_rightly = PlainServer._answer
    monkeypatch.setattr(PlainServer, "_answer", twist)
    (inputs,) = frames(residual_bundle, 1)
    async with (
        PlainServer(repository) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-02") as client,
    ):
        result = await client.infer(inputs)
    assert result.served_by is (ServedBy.EDGE if fault == "rows" else ServedBy.CLOUD)
    assert_same(result.outputs, whole(residual_bundle, inputs))


async def test_server_that_dies_is_done_without_and_found_again(
    residual_bundle: Bundle, repository: Path
) -> None:
    inputs, port = frames(residual_bundle, 3), free_port()
    server = PlainServer(repository, port=port)
    await server.__aenter__()
    async with AsyncEdgeClient(server.address, residual_bundle, "cut-04") as client:
        assert (await client.infer(inputs[0])).served_by is ServedBy.CLOUD
        await server.__aexit__()
        alone = [await client.infer(each) for each in inputs]
        assert {result.served_by for result in alone} == {ServedBy.EDGE}
        assert_same(alone[1].outputs, whole(residual_bundle, inputs[1]))
        async with PlainServer(repository, port=port) as again:
            await look_again(client)
            assert (await client.infer(inputs[2])).served_by is ServedBy.CLOUD
            assert len(again.requests) == 1


async def test_server_that_was_not_asked_for_its_models_gets_no_frame(
    residual_bundle: Bundle, repository: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with PlainServer(repository) as known, PlainServer(repository) as other:
        for config in other.configs.values():
            config.parameters["bundle_digest"].string_value = "f00d" * 16
        addresses = f"{known.address},{other.address}"
        async with AsyncEdgeClient(addresses, residual_bundle, "cut-04") as client:
            assert (await client.infer(inputs)).server == known.address
            transport = client.version.session._transport
            assert transport is not None
            # As where another version of the bundle has been served meanwhile, with other servers.
            await transport.switch_to(transport.servers.after(transport.endpoint, 0.0))
            assert transport.address == other.address
            result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert_same(result.outputs, whole(residual_bundle, inputs))
    assert (len(known.requests), len(other.requests)) == (1, 0)


async def test_first_frame_of_a_cut_that_was_moved_speaks_as_the_server_does(
    residual_bundle: Bundle, repository: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with (
        PlainServer(repository) as server,
        AsyncEdgeClient(server.address, residual_bundle, "edge") as client,
    ):
        client.set_option("cut-04", "int8")  # the server has not been greeted yet
        result = await client.infer(inputs)
        assert result.served_by is ServedBy.CLOUD
        wanted = by_our_codec(residual_bundle, "cut-04", "int8", inputs)
        assert_same(result.outputs, wanted)
        with pytest.raises(UnknownNameError, match=r"serves no 'residual\.cut-05\.half'"):
            client.set_option("cut-05", "half")
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_model_that_the_server_lacks_is_named_with_how_to_export_it(
    residual_bundle: Bundle, repository: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    async with PlainServer(repository) as server:
        async with AsyncEdgeClient(server.address, residual_bundle, "cut-05") as client:
            assert (await client.infer(inputs)).served_by is ServedBy.EDGE
            said = str(client.trouble)
            assert isinstance(client.trouble, UnknownNameError)
            assert "serves no 'residual.cut-05'" in said
            assert f"splitpoint export triton {residual_bundle.path} --cuts cut-05" in said
        there, server.models = server.models, {"resnet"}
        async with AsyncEdgeClient(server.address, residual_bundle, "cut-04") as client:
            assert (await client.infer(inputs)).served_by is ServedBy.EDGE
            said = str(client.trouble)
            assert "serves no model of 'residual'" in said
            assert "residual, residual.cloud.half" in said
            assert f"splitpoint export triton {residual_bundle.path} --out DIR" in said
            server.models = there
            await look_again(client)
            assert (await client.infer(inputs)).served_by is ServedBy.CLOUD


async def test_models_of_another_version_are_not_used(
    residual_bundle: Bundle, repository: Path
) -> None:
    async with PlainServer(repository) as server:
        for config in server.configs.values():
            config.parameters["bundle_digest"].string_value = "f00d" * 16
        with pytest.raises(
            MismatchError, match=r"of another version of the bundle \(f00df00df00d…\)"
        ):
            await AsyncEdgeClient(server.address, residual_bundle, "cut-04", strict=True).connect()


async def test_version_that_takes_the_place_of_the_one_in_use_answers_no_frame(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    ours, theirs = net_versions[:2]
    cut = ours.manifest.cuts[0].id
    for bundle in (ours, theirs):
        options = TritonOptions((cut,), ("raw",))
        export_triton(bundle, tmp_path / bundle.digest, options)
    (inputs,) = frames(ours, 1)
    async with (
        PlainServer(tmp_path / ours.digest) as server,
        AsyncEdgeClient(server.address, ours, cut) as client,
    ):
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
        server.serve(tmp_path / theirs.digest)  # of the same names and shapes
        result = await client.infer(inputs)
    assert result.served_by is ServedBy.EDGE
    assert_same(result.outputs, whole(ours, inputs))


async def test_frame_of_more_samples_than_the_server_takes_is_finished_here_and_blames_nobody(
    residual_bundle: Bundle, repository: Path
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    many = {name: np.concatenate([array] * 9) for name, array in inputs.items()}
    async with (
        PlainServer(repository) as server,
        AsyncEdgeClient(server.address, residual_bundle, "cut-04", codec="int8") as client,
    ):
        result = await client.infer(many)
        assert result.served_by is ServedBy.EDGE
        assert "has 9 samples, and the cloud takes 8 at a time" in result.reason
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
    assert len(server.requests) == 1


async def test_server_that_tells_no_configuration_is_compared_by_its_tensors(
    residual_bundle: Bundle, repository: Path
) -> None:
    async with PlainServer(repository, tells_configs=False) as server:
        server.configs["residual.cut-02"].input[0].dims[0] += 1
        server.configs["residual.cut-02.int8"].output[0].name = "something else"
        async with AsyncEdgeClient(server.address, residual_bundle, "cut-04") as client:
            assert client.server is not None
            plain = client.server.plain
    assert plain is not None
    assert not plain.tells_digest
    assert sorted(plain.labels) == ["cut-02/half", "cut-04/half", "cut-04/int8", "cut-04/raw"]
    assert len(plain.wrong) == 2
    assert any("without the output" in wrong for wrong in plain.wrong)


async def test_low_bit_codecs_need_a_server_that_tells_its_calibration(
    calibrated: Bundle, tmp_path: Path
) -> None:
    cut = calibrated.manifest.cuts[1].id
    options = TritonOptions((cut,), ("q4",), ensembles=False)
    export_triton(calibrated, tmp_path / "models", options)
    (inputs,) = frames(calibrated, 1)
    async with (
        PlainServer(tmp_path / "models") as server,
        AsyncEdgeClient(server.address, calibrated, cut, codec="q4") as client,
    ):
        assert (await client.infer(inputs)).served_by is ServedBy.CLOUD
        server.configs[f"image.{cut}.q4"].parameters["calibration_digest"].string_value = "0" * 16
        with pytest.raises(UnknownNameError, match=f"serves no 'image.{cut}.q4'"):
            await AsyncEdgeClient(
                server.address, calibrated, cut, codec="q4", strict=True
            ).connect()
    async with (
        PlainServer(tmp_path / "models", tells_configs=False) as silent,
        AsyncEdgeClient(silent.address, calibrated, cut) as client,
    ):
        assert client.server is not None
        assert client.server.plain is not None
        assert client.server.plain.labels == {f"{cut}/raw"}
        assert client.server.plain.wrong == ("1 silent about its calibration",)


async def test_limit_that_a_standard_server_does_not_tell_is_learnt_from_what_it_refuses(
    residual_bundle: Bundle, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "residual")
    bundle = Bundle.load(tmp_path / "residual")
    steady(bundle, 2.0).save(bundle.profiles / "edge.json")
    link = Link(1e9, 1e9, 0.0001)
    async with (
        PlainServer(repository, max_message_bytes=3000) as server,
        AsyncEdgeClient(server.address, bundle, "auto", link=link) as client,
    ):
        stop_watching(client)
        served = []
        for inputs in frames(bundle, 5):
            breaker_of(client).succeeded()  # the breaker has its own tests
            served.append(await client.infer(inputs))
    assert {result.served_by for result in served} == {ServedBy.EDGE}
    assert [result.upload_bytes > 3000 for result in served] == [True] + [False] * 4
    assert "no longer offered" in served[1].reason


async def test_plan_for_a_standard_server_has_plain_sizes_and_frames_go_where_it_serves(
    residual_bundle: Bundle, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "residual")
    bundle = Bundle.load(tmp_path / "residual")
    steady(bundle, 2.0).save(bundle.profiles / "edge.json")  # so slow that the cloud is always best
    link = Link(1e9, 1e9, 0.0001)
    (inputs,) = frames(bundle, 1)
    async with PlainServer(repository) as server:
        async with AsyncEdgeClient(server.address, bundle, "auto", link=link) as client:
            assert client.server is not None
            plain = client.server.plain
            assert plain is not None
            offered = {option.label for option in client.control._rung_plans[0].plan.options}
            assert offered <= plain.labels | {"edge"}
            result = await client.infer(inputs)
        arguments = (bundle, Endpoint(server.address), RuntimeOptions(), plain)
        made = await asyncio.to_thread(plan_with_plain_server, *arguments, link=link)
    assert result.served_by is ServedBy.CLOUD
    assert result.upload_bytes == pytest.approx(
        made[f"{result.cut}/{result.codec}"].upload_bytes, abs=8
    )
    assert made.cloud.scale < 0.5
