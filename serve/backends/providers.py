"""Which execution providers a session gets, by ``resources.device`` and what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.errors import RepositoryError

__all__ = ["CPU", "CUDA", "Device", "choose_device", "nvidia_device_present"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

# The driver's control node on Linux, and the one that stands for a GPU under WSL.
_DEVICE_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))

_REMEDY = (
    "on a machine with an NVIDIA GPU, `pip uninstall onnxruntime && pip install 'penstock[gpu]'`;"
    " elsewhere set device to cpu or auto"
)


@dataclass(frozen=True, slots=True)
class Device:
    """Where a session runs. ``required``: an error is better than a slower device."""

    provider: str
    index: int
    required: bool

    def providers(self) -> list[str | tuple[str, Mapping[str, str]]]:
        """The list to give to the session, most wanted first."""
        if self.provider == CPU:
            return [CPU]
        options = {
            "device_id": str(self.index),
            # The default doubles the arena, and keeps twice what the largest batch needed.
            "arena_extend_strategy": "kSameAsRequested",
            # The default measures every convolution algorithm again for each new batch size.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        return [(CUDA, options), CPU]


def nvidia_device_present(nodes: Sequence[Path] = _DEVICE_NODES) -> bool:
    """Whether the NVIDIA driver shows a device to this process."""
    return any(node.exists() for node in nodes)


def choose_device(
    setting: str, *, available: Sequence[str], gpu_present: bool, path: str
) -> Device:
    """The device for ``resources.device``; ``path`` is the settings file, for the error.

    Raises:
        RepositoryError: CUDA is asked for and the runtime, or a device, is not there.
    """
    if setting == "cpu" or (setting == "auto" and not (gpu_present and CUDA in available)):
        return Device(CPU, 0, required=True)
    if setting == "auto":
        return Device(CUDA, 0, required=False)
    problem = ""
    if CUDA not in available:
        problem = "the installed onnxruntime is built without CUDA"
    elif not gpu_present:
        problem = "no NVIDIA GPU is visible to this process"
    if problem:
        raise RepositoryError(
            path=path,
            field="resources.device",
            problem=f"is {setting}, but {problem}",
            remedy=_REMEDY,
        )
    return Device(CUDA, int(setting.partition(":")[2] or 0), required=True)
