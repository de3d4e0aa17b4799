"""GPU tests run where a CUDA session really starts, and say why they are skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.backends.providers import CUDA, nvidia_device_present


def why_not() -> str:
    """Why CUDA cannot be used here; empty if the runtime and a device are there."""
    try:
        import onnxruntime
    except ImportError:
        return "onnxruntime is not installed"
    if CUDA not in onnxruntime.get_available_providers():
        return "the installed onnxruntime is built without CUDA"
    if not nvidia_device_present():
        return "no NVIDIA GPU is visible to this process"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
