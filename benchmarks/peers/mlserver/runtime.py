"""MLServer has no runtime for ONNX, so this is the custom one its guide tells to write."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.onnx_model import OnnxModel


class OnnxRuntime(MLModel):
    """Tensors in, tensors out; MLServer merges requests before and splits answers after."""

    async def load(self) -> bool:
        self._model = OnnxModel(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {
            tensor.name: np.array(StringCodec.decode_input(tensor), np.object_).reshape(-1, 1)
            if tensor.datatype == "BYTES"
            else NumpyCodec.decode_input(tensor)
            for tensor in payload.inputs
        }
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                NumpyCodec.encode_output(name, values)
                for name, values in self._model.run(feeds).items()
            ],
        )
