"""CUDA graphs, one for each batch size: a captured program is launched whole, not op by op."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Captured", "GraphRun", "capture", "graph_sizes"]

Run = Callable[[list[torch.Tensor]], list[torch.Tensor]]
"""Takes and gives tensors on the device."""

LARGEST = 128
OFF = "off"
WARM_UP_RUNS = 3


@dataclass(frozen=True)
class Captured:
    """A graph of one batch size: it reads ``inputs`` and writes ``outputs``, always the same."""

    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    replay: Callable[[], None]


class GraphRun:
    """Runs a batch with the smallest graph that it fits, padded; plainly, if it fits none.

    A graph has one set of tensors, and a program that is captured is loaded without locks of its
    own, so batches go through one at a time, whatever thread they come from.
    """

    def __init__(self, captured: Mapping[int, Captured], plain: Run) -> None:
        self._captured = captured
        self._sizes = sorted(captured)
        self._plain = plain
        self._lock = threading.Lock()

    def __call__(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Outputs in host memory for inputs in host memory, a row for a row."""
        rows = len(tensors[0])
        place = bisect.bisect_left(self._sizes, rows)
        if place == len(self._sizes) or rows == 0:
            with self._lock:
                return self._plain(tensors)
        graph = self._captured[self._sizes[place]]
        with self._lock:
            for static, tensor in zip(graph.inputs, tensors, strict=True):
                static[:rows].copy_(tensor)
                if rows < len(static):
                    # A real row again: a made-up one need not be a value that the program takes.
                    static[rows:].copy_(tensor[-1:].expand(len(static) - rows, *tensor.shape[1:]))
            graph.replay()
            return [output[:rows].to("cpu", copy=True) for output in graph.outputs]


def capture(run: Run, inputs: Sequence[torch.Tensor]) -> Captured:
    """Capture what ``run`` launches for tensors of these shapes, which it will always read.

    Raises:
        RuntimeError: the program waits for the device, allocates outside torch, or does anything
            else that cannot be captured.
    """
    static = list(inputs)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_RUNS):  # so that nothing is set up for the first time in a capture
            run(list(static))
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run(list(static))
    return Captured(static, outputs, graph.replay)


def graph_sizes(setting: str, preferred: Sequence[int], limit: int | None) -> list[int]:
    """Rows to capture: ``setting``, else the preferred batch sizes, else powers of two.

    Args:
        setting: ``parameters.cuda_graphs``: "", "off", or sizes as in "1,8,32".

    Raises:
        ValueError: it is none of these.
    """
    if setting == OFF:
        return []
    most = limit or LARGEST
    if setting:
        sizes = [int(text) for text in setting.split(",")]
        if min(sizes) < 1 or max(sizes) > most:
            raise ValueError(f"a size is not within 1 to {most}")
        return sorted(set(sizes))
    if preferred:
        return sorted({size for size in preferred if size <= most})
    return sorted({min(2**power, most) for power in range((most - 1).bit_length() + 1)})
