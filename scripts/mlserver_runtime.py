"""A runtime for MLServer that runs an exported tail by ONNX Runtime; see try_standard_server.py.

It imports nothing of Splitpoint. `implementation` of a model is `mlserver_runtime.OnnxTail`, and its `uri`
the path of model.onnx.
"""

from typing import Any

import onnxruntime  # noqa: TID251
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxTail(MLModel):  # type: ignore[misc]
    """One graph, computed by one thread."""

    async def load(self) -> bool:
        """Open the session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        feeds = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        names = [each.name for each in self._session.get_outputs()]
        values: list[Any] = self._session.run(names, feeds)
        return InferenceResponse(
            model_name=self.name,
            id=payload.id,
            outputs=[NumpyCodec.encode_output(*each) for each in zip(names, values, strict=True)],
        )
