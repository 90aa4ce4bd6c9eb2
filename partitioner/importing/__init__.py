"""From a model file or a torch module to a bundle. Needs the extra `onnx` (and `torch` for modules)."""

from partitioner.importing.bundling import ImportOptions, import_model

__all__ = ["ImportOptions", "import_model"]
