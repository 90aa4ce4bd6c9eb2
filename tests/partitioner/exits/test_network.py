"""The small network of an exit, trained, and as a graph."""

import numpy as np
import onnxruntime
import pytest
import torch

from partitioner.bundle.exit_outcomes import fit_temperature, softmax
from partitioner.bundle.exits import CONFIDENCE
from partitioner.exits.features import Feature
from partitioner.exits.network import ExitNetwork, distill, to_onnx
from protos.tensors import TensorSpec


def test_temperature_that_made_the_scores_is_found() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6_000, 5)) * 3
    chances = softmax(scores / 2.5).astype(np.float64)
    classes = (chances.cumsum(axis=1) > rng.random((len(scores), 1))).argmax(axis=1)
    assert fit_temperature(scores.astype(np.float32), classes) == pytest.approx(2.5, rel=0.08)


FEATURES = {
    "map": (TensorSpec("m", "float32", (-1, 3, 43, 30)), "map", 3),
    "small map": (TensorSpec("s", "float32", (-1, 5, 7, 9)), "map", 1),
    "sequence": (TensorSpec("t", "float32", (-1, 6, 8)), "sequence", 1),
    "vector": (TensorSpec("v", "float32", (1, 12)), "vector", 1),
}


@pytest.mark.parametrize("probabilities", [False, True])
def test_graph_does_what_the_trained_network_does(probabilities: bool) -> None:
    features = [Feature(spec, kind, pool) for spec, kind, pool in FEATURES.values()]
    torch.manual_seed(3)
    network = ExitNetwork(features, 4)
    network(*(torch.randn(8, *feature.shape) for feature in features))  # moves the running means
    network.eval()
    output = TensorSpec("y", "float32", (-1, 4))
    graph = to_onnx(network, features, output, 1.7, probabilities=probabilities)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(4)
    frontier = {
        f.spec.name: rng.standard_normal(f.spec.sized()).astype(np.float32) for f in features
    }
    found, confidence = session.run(["y", CONFIDENCE], frontier)
    reduced = [torch.from_numpy(np.array(f.reduce(frontier)))[None] for f in features]
    with torch.inference_mode():
        scores = network(*reduced).numpy() / 1.7
    chances = softmax(scores)
    np.testing.assert_allclose(found, chances if probabilities else scores, atol=1e-5)
    np.testing.assert_allclose(confidence, chances.max(axis=1), atol=1e-5)


def test_distilling_leaves_the_callers_torch_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    feature = Feature(*FEATURES["vector"])
    values = np.random.default_rng(0).standard_normal((64, 12)).astype(np.float32)
    from partitioner.exits.network import TrainingSettings

    one, two = (
        distill([feature], [values], values[:, :4], None, TrainingSettings(epochs=1))
        for _ in range(2)
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert torch.equal(one.classifier.weight, two.classifier.weight)  # seeded
