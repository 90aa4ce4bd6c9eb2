"""ONNX Runtime: sessions, threads, execution providers."""
