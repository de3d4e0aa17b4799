"""PyTriton: Triton's own HTTP front end with a Python function behind it, OIP v2.

default: as its quick start has it, `@batch` and `max_batch_size=128`; Triton's dynamic batcher is
on by default, with no queue delay.
tuned: a queue delay of 1 ms, so that batches fill
(https://triton-inference-server.github.io/pytriton: Batching), and two HTTP threads for the two
cores instead of the eight that Triton starts. Tried and no better: two instances of the function.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.onnx_model import OnnxModel
from benchmarks.peers.ports import free_port


def main() -> None:
    row, name, path, port, _ = sys.argv[1:]
    model = OnnxModel(path)

    @batch
    def infer(**tensors: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Strings arrive as bytes; ONNX Runtime takes Python strings."""
        feeds = {
            key: tensor if tensor.dtype == np.float32 else _strings(tensor)
            for key, tensor in tensors.items()
        }
        return model.run(feeds)

    sample = model.run({key: _blank(*form) for key, form in model.inputs.items()})
    tuned = row == "tuned"
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(port),
        http_thread_count=2 if tuned else None,
        grpc_address="127.0.0.1",
        grpc_port=free_port(),
        metrics_address="127.0.0.1",
        metrics_port=free_port(),
    )
    batcher = DynamicBatcher(max_queue_delay_microseconds=1000 if tuned else 0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name=name,
            infer_func=infer,
            inputs=[
                Tensor(name=key, dtype=bytes if dtype is np.object_ else dtype, shape=(width,))
                for key, (dtype, width) in model.inputs.items()
            ],
            outputs=[
                Tensor(name=key, dtype=value.dtype.type, shape=value.shape[1:])
                for key, value in sample.items()
            ],
            config=ModelConfig(max_batch_size=128, batcher=batcher),
        )
        triton.serve()


def _strings(tensor: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    return np.char.decode(tensor.astype(np.bytes_), "utf-8").astype(np.object_)


def _blank(dtype: type, width: int) -> npt.NDArray[Any]:
    return np.zeros((1, width), dtype) if dtype is np.float32 else np.full((1, width), "", dtype)


if __name__ == "__main__":
    main()
