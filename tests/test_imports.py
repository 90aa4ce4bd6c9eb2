"""What importing the edge brings along: little, and nothing that collides with others."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "onnx", "fastapi", "matplotlib", "cv2", "uvicorn", "scipy", "cloud_server")
MODULES = (
    "edge_client.client.async_client",
    "edge_client.client.sync_client",
    "edge_client.cli.main",
    "edge_client.cli.run_loop",
    "edge_client.cli.serve_loop",
    "edge_client.cli.settings",
    "edge_client.relay.player",
    "edge_client.cloud.download",
    "edge_client.cloud.link_measurement",
    "partitioner.signatures.release_book",
)


def python(code: str, environment: Mapping[str, str] | None = None) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edge_loads_none_of_the_heavy_packages() -> None:
    python(
        f"import sys, edge_client, splitpoint, {', '.join(MODULES)}\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not found, found"
    )


def test_client_alone_loads_no_command_line() -> None:
    python(
        "import sys; from splitpoint import EdgeClient\n"
        "found = [name for name in ('typer', 'rich', 'PIL.ImageOps') if name in sys.modules]\n"
        "assert not found, found"
    )


@pytest.mark.parametrize("tool", ["edge_client.cli.main", "edge_client.relay.player"])
def test_commands_that_run_no_model_load_no_runtime(tool: str) -> None:
    python(f"import sys, {tool}\nassert 'onnxruntime' not in sys.modules")


@pytest.mark.skipif(sys.platform != "linux", reason="builds for Linux tell their makers")
def test_runtime_tells_its_makers_nothing(tmp_path: Path) -> None:
    """With telemetry it keeps what it has to tell in the user's cache folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    python("import partitioner.runtime.sessions", environment)
    assert not list(tmp_path.iterdir())


def test_flags_of_a_command_load_neither_packages_metadata_nor_statistics() -> None:
    python(
        "import sys, edge_client.cli.main, edge_client.cli.run\n"
        "found = [name for name in ('importlib.metadata', 'statistics') if name in sys.modules]\n"
        "assert not found, found"
    )


ORDERS = {
    "ours first": ("from splitpoint import EdgeClient", "import tritonclient.grpc as triton"),
    "theirs first": ("import tritonclient.grpc as triton", "from splitpoint import EdgeClient"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_edge_and_tritonclient_live_in_one_process(order: str) -> None:
    first, second = ORDERS[order]
    python(
        f"{first}\n{second}\n"
        "import numpy as np\n"
        "value = triton.InferInput('x', [1], 'FP32')\n"
        "value.set_data_from_numpy(np.zeros(1, np.float32))\n"
        "from protos.inference_pb2 import ModelInferRequest\n"
        "assert ModelInferRequest(id='7').SerializeToString() == b'\\x1a\\x017'\n"
    )
