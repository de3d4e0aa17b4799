"""What a machine lacks for the checks here."""

from __future__ import annotations

from serve.backends.providers import CUDA, nvidia_device_present

__all__ = ["Absent", "why_no_cuda"]


class Absent(Exception):
    """What a part needs and this machine has not."""


def why_no_cuda() -> str:
    """What keeps CUDA from being tried here; empty if the runtime and a device are there."""
    try:
        import onnxruntime
    except ImportError:
        return "onnxruntime is not installed"
    if CUDA not in onnxruntime.get_available_providers():
        return "the installed onnxruntime is built without CUDA (it needs onnxruntime-gpu)"
    return "" if nvidia_device_present() else "no NVIDIA GPU is visible to this process"
