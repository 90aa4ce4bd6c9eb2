"""Everything that reads bytes of others: each with bytes that are right, and what it may raise."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
from PIL import Image

from edge_client.cli.settings import PROGRAM, RunSettings
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE, BundleCalibration
from partitioner.bundle.exits import EXITS_FILE, BundleExits
from partitioner.bundle.graph_file import parse_graph
from partitioner.bundle.manifest import (
    GRAPH_FILE,
    MANIFEST_FILE,
    MODEL_GRAPH,
    ROLLBACK_FILE,
    SIGNATURE_FILE,
    WEIGHTS_MAP_FILE,
    Manifest,
    read_manifest,
    write_manifest,
)
from partitioner.bundle.weights_map import parse_weights_map
from partitioner.devices.device import load_device, load_radio
from partitioner.importer.onnx_file import load_model
from partitioner.inputs.files import load_inputs
from partitioner.inputs.labels import read_labels
from partitioner.network.trace_files import read_trace
from partitioner.policy.power_rules import load_rules
from partitioner.profiles.profile import Profile
from partitioner.settings.loader import load
from partitioner.signatures.envelope import Envelope
from partitioner.signatures.keys import new_key, public_text, read_public_key, save_key
from partitioner.signatures.release_book import RELEASES_FILE, ReleaseBook
from partitioner.signatures.rollback import ROLLBACK_TYPE, made_rollback, read_rollback
from partitioner.signatures.statement import BUNDLE_TYPE, Statement
from partitioner.signatures.trust import Trust
from protos.codecs.registry import codec_names, get_codec
from protos.errors import SplitpointError
from protos.telemetry import read_snapshot
from protos.tensors import TensorSpec
from protos.wire.framing import (
    decode_request,
    decode_response,
    decode_stream_response,
    encode_request,
    encode_response,
    encode_stream_response,
)
from protos.wire.messages import pack_request, pack_response, unpack_request, unpack_response
from tests.kit.damage import damaged, damaged_documents
from tests.kit.profiles import steady

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "bundle"
TRAM = DIGITS.parents[1] / "traces" / "tram.txt"


@dataclass(frozen=True)
class Samples:
    """Bytes that are right, and what damages them."""

    right: Sequence[bytes]
    inputs: st.SearchStrategy[bytes]


def of_bytes(samples: Sequence[bytes]) -> Samples:
    return Samples(samples, damaged(samples))


def of_documents(documents: Sequence[Any]) -> Samples:
    return Samples([json.dumps(one).encode() for one in documents], damaged_documents(documents))


@dataclass(frozen=True)
class Reader:
    """What reads: it takes any bytes, and returns or raises SplitpointError."""

    name: str
    samples: Samples
    read: Callable[[bytes], object]


def is_refused(reader: Reader, data: bytes) -> bool:
    """Read; tell whether the bytes were refused, with a sentence. Whatever else is raised is a fault."""
    try:
        reader.read(data)
    except SplitpointError as error:
        said = str(error)
        assert len(said) > 20, f"no sentence: {said!r}"
        return True
    return False


def readers(folder: Path) -> Iterator[Reader]:
    """Every reader, by name; `folder` is where files are written to be read."""
    bundle = Bundle.load(DIGITS)
    yield from _messages(bundle)
    yield from _documents(bundle, folder)
    yield from _archives(bundle, folder)
    yield from _signatures(bundle, folder)
    yield from _texts(folder)
    yield from _frames(folder)


def _messages(bundle: Bundle) -> Iterator[Reader]:
    def read_request(frontier: Sequence[TensorSpec], data: bytes) -> None:
        unpack_request(*decode_request(data), frontier, bundle.ranges)

    feeds = bundle.samples()[0] if bundle.samples() else _feeds(bundle)
    for cut_id in ("cloud", "cut-04"):
        cut = bundle.cut(cut_id)
        values = feeds if cut_id == "cloud" else bundle.open_head(cut_id).run(feeds)
        for name in codec_names():
            codec = get_codec(name, bundle.ranges)
            if not any(codec.accepts(spec) for spec in cut.frontier):
                continue
            packed = pack_request("digits", "1", values, cut.frontier, codec, "", bundle.ranges)
            reads = partial(read_request, cut.frontier)
            yield Reader(f"request {cut_id}/{name}", of_bytes([encode_request(*packed)]), reads)
    answer = pack_response("digits", "1", bundle.open_tail("cloud").run(feeds), bundle.outputs)

    def read_answer(data: bytes) -> None:
        unpack_response(*decode_response(data))

    def read_stream_answer(data: bytes) -> None:
        _, header, raw = decode_stream_response(data)
        unpack_response(header, raw)

    yield Reader("answer", of_bytes([encode_response(*answer)]), read_answer)
    streamed = [encode_stream_response(*answer), encode_stream_response(answer[0], [], "no")]
    yield Reader("answer of a stream", of_bytes(streamed), read_stream_answer)


def _feeds(bundle: Bundle) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.integers(0, 256, spec.sized()).astype(spec.dtype) for spec in bundle.inputs
    }


def _documents(bundle: Bundle, folder: Path) -> Iterator[Reader]:
    def as_file(name: str, read: Callable[[Path], object], data: bytes) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    manifest = bundle.manifest.model_dump(mode="json")

    def manifest_of(data: bytes) -> None:
        """With the right digest, as a forger would write it."""
        try:
            made = Manifest.model_validate_json(data)
        except ValueError:
            (folder / MANIFEST_FILE).write_bytes(b'{"digest": "", "manifest": ' + data + b"}")
        else:
            write_manifest(folder, made)
        read_manifest(folder)

    yield Reader("manifest", of_documents([manifest]), manifest_of)
    for name, parse in ((GRAPH_FILE, parse_graph), (WEIGHTS_MAP_FILE, parse_weights_map)):
        found = json.loads((DIGITS / name).read_bytes())
        reads = partial(lambda parse, data: parse(data, Path("x.json")), parse)
        yield Reader(name, of_documents([found]), reads)
    profile = json.loads(steady(bundle).model_dump_json())
    yield Reader("profile", of_documents([profile]), partial(as_file, "profile.json", Profile.load))
    yield Reader(
        "telemetry",
        of_documents([SNAPSHOT]),
        lambda data: read_snapshot(data.decode(errors="replace")),
    )


def _archives(bundle: Bundle, folder: Path) -> Iterator[Reader]:
    def beside(name: str, load: Callable[[Path, str], object], data: bytes) -> None:
        (folder / name).write_bytes(data)
        load(folder, bundle.manifest.split_digest)

    for name, reads_it in (
        (CALIBRATION_FILE, BundleCalibration.load),
        (EXITS_FILE, BundleExits.load),
    ):
        whole = (DIGITS / name).read_bytes()
        with np.load(BytesIO(whole), allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
        yield Reader(name, of_bytes([whole]), partial(beside, name, reads_it))
        meta = json.loads(held["meta"].tobytes())

        def rewritten(
            name: str, load: Callable[[Path, str], object], held: dict[str, Any], data: bytes
        ) -> None:
            made = BytesIO()
            np.savez(made, **{**held, "meta": np.frombuffer(data, np.uint8)})
            beside(name, load, made.getvalue())

        reads = partial(rewritten, name, reads_it, held)
        yield Reader(f"{name}, its document", of_documents([meta]), reads)


def _signatures(bundle: Bundle, folder: Path) -> Iterator[Reader]:
    signing = new_key()

    @cache
    def trust() -> Trust:
        (folder / "keys").mkdir()
        save_key(folder / "release", signing).rename(folder / "keys" / "release.pub")
        return Trust(folder / "keys", required=True)

    def with_document(name: str, data: bytes) -> Bundle:
        documents = {**bundle.documents, name: data}
        return Bundle(bundle.path, bundle.manifest, bundle.calibration, None, None, documents)

    def signed(kind: str, data: bytes) -> bytes:
        """As somebody would send it who has a key that is trusted."""
        return Envelope.seal(kind, data, [signing]).to_bytes()

    def signature(data: bytes) -> None:
        trust().check(with_document(SIGNATURE_FILE, data))

    def permission(data: bytes) -> None:
        read_rollback(with_document(ROLLBACK_FILE, data), trust())

    def key(data: bytes) -> None:
        (folder / "x.pub").write_bytes(data)
        read_public_key(folder / "x.pub")

    def book(data: bytes) -> None:
        (folder / RELEASES_FILE).write_bytes(data)
        ReleaseBook(folder).highest()

    statement = Statement.of(bundle, 3, "2026-11-30T12:00:00+00:00")
    rollback = made_rollback(bundle.name, 3, 5)
    for name, reads, kind, payload in (
        ("signature", signature, BUNDLE_TYPE, statement),
        ("permission", permission, ROLLBACK_TYPE, rollback),
    ):
        yield Reader(name, of_bytes([signed(kind, payload.to_bytes())]), reads)
        as_signed = partial(lambda reads, kind, data: reads(signed(kind, data)), reads, kind)
        content = payload.model_dump(mode="json")
        yield Reader(f"{name}, its payload", of_documents([content]), as_signed)
    yield Reader("public key", of_bytes([public_text(signing.public)]), key)
    yield Reader("releases", of_documents([{"schema_version": 1, "highest": {"net": 3}}]), book)


def _texts(folder: Path) -> Iterator[Reader]:
    def as_file(name: str, read: Callable[[Path], object], data: bytes) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    data = Path(load_device.__code__.co_filename).parent / "data"
    config = b"cloud = '127.0.0.1:50051'\ncut = 'auto'\nwindow = 4\ndeadline = '100ms'\n"
    for name, samples, suffix, read in (
        ("trace", [TRAM.read_bytes(), *TRACES], "txt", read_trace),
        ("device", [_of(data / "devices" / "phone.toml")], "toml", lambda path: load_device(str(path))),
        ("radio", [_of(data / "radios" / "lte.toml")], "toml", lambda path: load_radio(str(path))),
        ("power rules", [RULES], "toml", load_rules),
        ("settings", [config], "toml", lambda path: load(PROGRAM, RunSettings, {}, path)),
        ("labels", [LABELS], "csv", lambda path: read_labels(path, ["eins", "zwei"])),
    ):  # fmt: skip
        yield Reader(name, of_bytes(samples), partial(as_file, f"{name[:5]}.{suffix}", read))


def _frames(folder: Path) -> Iterator[Reader]:
    def as_file(name: str, read: Callable[[Path], object], data: bytes) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    spec = TensorSpec("x", "uint8", (-1, 8, 8, 3))

    def inputs(path: Path) -> None:
        load_inputs(path, [spec], say=lambda _: None)

    for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff"):
        made = BytesIO()
        Image.fromarray(pixels).save(made, kind)
        yield Reader(kind, of_bytes([made.getvalue()]), partial(as_file, f"x.{kind}", inputs))
    for kind, save in (("npy", np.save), ("npz", lambda file, x: np.savez(file, x=x))):
        made = BytesIO()
        save(made, pixels[None])
        yield Reader(kind, of_bytes([made.getvalue()]), partial(as_file, f"x.{kind}", inputs))
    model = (DIGITS / MODEL_GRAPH).read_bytes()
    yield Reader("onnx", of_bytes([model]), partial(as_file, "x.onnx", load_model))


def _of(path: Path) -> bytes:
    return path.read_bytes()


LABELS = b"file,label\na.png,1\nb.png,zwei\n"
TRACES = [
    b"0 1.5\n1 2.5\n2 0\n3 4\n",
    b"time,uplink_mbps,rtt_ms\n0,1.5,20\n1,2.5,30\n",
    b"1\n2\n2\n3\n9\n",
]
RULES = b"""every_s = 5.0
[[rules]]
name = "low battery"
battery_percent = 30
recovers = 35
energy_factor = 3
[[rules]]
name = "hot"
temperature_c = 80
recovers = 72
max_fps = 5
"""
SNAPSHOT: dict[str, Any] = {
    "edge": "e", "bundle": "m", "bundle_digest": "0" * 64, "started_s": 1.0, "number": 1, "time_s": 2.0,
    "interval_s": 1.0, "health": "healthy", "health_reason": "all is well", "cut": "cut-01/raw",
    "reason": "best", "exits_from": 0.5, "served_by": {"cloud": 3}, "fallbacks": {"LateError": 1},
    "hedges": {"device_first": 1, "cloud_first": 2, "dropped_s": 0.1, "unused_answers": 0,
               "unused_cloud_s": 0},
    "looks": {"tries": 1, "probes": 1, "sent_bytes": 10}, "switches": 1, "upload_bytes": 9,
    "download_bytes": 9, "lost_snapshots": 0, "source_stops": 0, "stages": {}, "moves": [
        {"time_s": 1.0, "cut": "cut-01", "exits_from": None, "reason": "r"}],
    "estimates": {"uplink_bps": 1e6, "downlink_bps": 1e6, "rtt_s": 0.02},
    "power": {"battery": 0.5, "rules": ["low battery"]},
}  # fmt: skip
