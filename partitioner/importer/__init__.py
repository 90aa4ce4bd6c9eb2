"""From an ONNX file or a torch module to a bundle; needs the extra `onnx` (and `torch`)."""
