"""ONNX Runtime as this package imports it, here alone: it tells its makers nothing.

From 1.29 on their builds for Linux send what models are opened and how they fare to a server of Microsoft's,
and keep a database in the user's cache folder, unless the environment says otherwise when the library is
loaded. A program that sets ORT_DISABLE_TELEMETRY=0, or has loaded the runtime before, decides for itself.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # noqa: TID251

__all__ = ["onnxruntime"]
