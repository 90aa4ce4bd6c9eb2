"""Exports: a bundle's model and tails as models for Triton and other servers; needs the extra `onnx`."""
