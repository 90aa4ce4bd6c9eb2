"""Execution providers: one that does not start is an error, never the CPU in its place."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from edge_client.cli.reports.remarks import client_options
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.runtime import providers, sessions
from partitioner.runtime.providers import CUDA, check_provider
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.errors import UsageError
from protos.names import CLOUD, EDGE
from tests.kit.settings import run_settings

# What the runtime's loader says where the libraries are not there, and where there is no GPU.
MISSING = "Failed to load libcublas.so.13: libcublas.so.13: cannot open shared object file"
NO_DEVICE = (
    "[ONNXRuntimeError] : 1 : FAIL : /src/onnxruntime/core/providers/cuda/cuda_call.cc:146 void onnxruntime::"
    "CudaCall(ERRTYPE, const char*) CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; host"
)
# What it says of a cuDNN of which one of the libraries is damaged; a node without a bias runs all the same.
DAMAGED = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'' Status Message: CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0 ; hostname=vm ; "
    "file=/src/onnxruntime/core/providers/cuda/nn/conv.cc ; line=493 ; expr=cudnnAddTensor(handle, &alpha);"
)
AZURE = "AzureExecutionProvider"
"""It comes with the plain runtime, and computes nothing by itself."""


@pytest.fixture
def promised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A runtime that lists CUDA and, when it comes to it, leaves it out: what it does without libraries."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, DEFAULT_PROVIDER])
    monkeypatch.setattr(providers, "_loads", lambda library: True)
    check_provider.cache_clear()
    yield
    check_provider.cache_clear()


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_provider_that_the_runtime_leaves_out_is_an_error(promised: None) -> None:
    with pytest.raises(
        UsageError, match=r"does not start here: its libraries did not load.*onnxruntime-gpu"
    ):
        RuntimeOptions(provider=CUDA)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_libraries_that_are_missing_are_named_and_not_printed(
    promised: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print(MISSING))
    with pytest.raises(
        UsageError, match=r"does not start here: libcublas\.so\.13 cannot be loaded\."
    ):
        RuntimeOptions(provider=CUDA)
    assert capsys.readouterr().out == ""


def test_reason_of_the_driver_is_told_without_where_the_runtime_says_so(
    promised: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError(NO_DEVICE)

    monkeypatch.setattr(providers, "open_with", fail)
    with pytest.raises(UsageError) as refused:
        RuntimeOptions(provider=CUDA)
    assert "does not start here: no CUDA-capable device is detected. nvidia-smi" in str(
        refused.value
    )
    assert "pip" not in str(refused.value)  # no package makes a device


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_driver_that_is_missing_is_named(promised: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was not given the GPU."""
    monkeypatch.setattr(providers, "_loads", lambda library: library != "libcuda.so.1")
    with pytest.raises(
        UsageError, match=r"does not start here: libcuda\.so\.1 cannot be loaded\. "
    ):
        RuntimeOptions(provider=CUDA)


class Opened:
    """A session that opens, and of which running comes to `fails` (None: it runs)."""

    def __init__(self, fails: str | None) -> None:
        self._fails = fails

    def run(self, *_args: object) -> list[np.ndarray]:
        if self._fails:
            raise RuntimeError(self._fails)
        return []


def test_provider_that_opens_and_does_not_compute_does_not_start(
    promised: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "open_with", lambda *_: Opened(DAMAGED))
    with pytest.raises(
        UsageError,
        match=r"does not start here: Conv: CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR\. .*pip",
    ):
        RuntimeOptions(provider=CUDA)


@pytest.mark.parametrize("found", [True, False])
def test_gpu_without_cudnn_is_said_once(
    promised: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    found: bool,
) -> None:
    monkeypatch.setattr(providers, "open_with", lambda *_: Opened(None))
    monkeypatch.setattr(providers, "_loads", lambda library: found or "cudnn" not in library)
    for _ in range(2):
        RuntimeOptions(provider=CUDA)
    said = ["libcudnn.so.9 cannot be loaded: convolutions run without it." in caplog.text]
    assert (said, len(caplog.records)) == (([False], 0) if found else ([True], 1))


@pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="not built with it")
def test_provider_that_leaves_all_to_the_cpu_is_an_error() -> None:
    with pytest.raises(UsageError, match="it computes no convolution, and leaves it to the CPU"):
        RuntimeOptions(provider=AZURE)


def test_trial_has_a_bias_which_makes_a_gpu_take_all_of_cudnn() -> None:
    [convolution] = onnx.load_from_string(providers._TRIAL).graph.node
    assert (convolution.op_type, len(convolution.input)) == ("Conv", 3)
    session = onnxruntime.InferenceSession(providers._TRIAL)
    [answer] = session.run(None, {"x": np.ones((1, 2, 3, 3), np.float32)})
    assert answer.shape == (1, 2, 1, 1)


@pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="not built with it")
def test_operators_that_a_provider_leaves_to_the_cpu_are_said_once(
    residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    options = RuntimeOptions()
    object.__setattr__(options, "provider", AZURE)
    sessions._tell_of_cpu.cache_clear()
    for _ in range(2):
        residual_bundle.open_tail(CLOUD, options)
    [said] = caplog.messages
    assert said.startswith(f"{AZURE} does not compute Conv, ")
    assert "Relu" not in said  # next to nothing
    assert residual_bundle.open_tail(CLOUD)
    assert len(caplog.messages) == 1


def test_provider_that_this_runtime_lacks_says_how_to_get_it() -> None:
    with pytest.raises(
        UsageError, match=r"has no provider 'TPU'. It has: .*CPUExecutionProvider\.$"
    ):
        RuntimeOptions(provider="TPU")


@pytest.mark.parametrize("name", [CUDA, "cuda"])
@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this runtime has CUDA")
def test_runtime_without_cuda_names_the_package_that_has_it(name: str) -> None:
    with pytest.raises(UsageError, match=r"pip install 'onnxruntime-gpu\[cuda,cudnn\]'"):
        RuntimeOptions(provider=name)


@pytest.mark.parametrize(("provider", "runs"), [("other", 1), (DEFAULT_PROVIDER, 0)])
async def test_stage_on_another_provider_has_run_before_its_first_frame(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, provider: str, runs: int
) -> None:
    seen: list[int] = []
    run = Stage.run

    def watched(stage: Stage, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(len(feeds))
        return run(stage, feeds)

    options = RuntimeOptions()
    object.__setattr__(options, "provider", provider)
    monkeypatch.setattr(
        "partitioner.runtime.sessions.open_with",
        lambda _provider, model, settings: onnxruntime.InferenceSession(
            model, settings, providers=[DEFAULT_PROVIDER]
        ),
    )
    monkeypatch.setattr(Stage, "run", watched)
    store = ModelStore([Version.of(residual_bundle)], options)
    await store.load(store.find(f"{residual_bundle.name}.{CLOUD}"))
    store.close()
    assert len(seen) == runs
    stages = Stages(residual_bundle, options)
    stages.warm(EDGE)
    assert len(seen) == 2 * runs


def test_edge_computes_with_the_provider_that_it_is_told(residual_bundle: Bundle) -> None:
    settings = run_settings(
        bundle=str(residual_bundle.path), source="frames", cut=EDGE, provider="TPU"
    )
    with pytest.raises(UsageError, match="has no provider 'TPU'"):
        EdgeClient.of(client_options(settings, residual_bundle))


def test_gpu_is_named_as_its_driver_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0000:00:06.0").mkdir()
    (tmp_path / "0000:00:06.0" / "information").write_text(
        "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 41\nGPU UUID: \t GPU-1\n"
    )
    (tmp_path / "0000:00:05.0").mkdir()
    (tmp_path / "0000:00:05.0" / "information").write_text("Model:\nIRQ:   \t\t 40\n")
    monkeypatch.setattr(providers, "_GPUS", tmp_path)
    assert providers.accelerator_of(CUDA) == "NVIDIA H100 80GB HBM3"
    (tmp_path / "0000:00:07.0").mkdir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert providers.accelerator_of(CUDA) == "NVIDIA H100 80GB HBM3"  # the other one tells nothing
    (tmp_path / "0000:00:07.0" / "information").write_text("Model: \t NVIDIA T400\n")
    assert providers.accelerator_of(CUDA) == "NVIDIA H100 80GB HBM3, NVIDIA T400 (1)"
    assert providers.accelerator_of(DEFAULT_PROVIDER) == ""
