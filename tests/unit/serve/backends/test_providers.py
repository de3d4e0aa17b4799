from __future__ import annotations

from pathlib import Path

import pytest

from serve.backends.providers import (
    CPU,
    CUDA,
    Device,
    choose_device,
    nvidia_device_present,
)
from serve.errors import RepositoryError


@pytest.mark.parametrize(
    ("setting", "built_with_cuda", "gpu_present", "expected"),
    [
        ("cpu", True, True, Device(CPU, 0, True)),
        ("auto", True, True, Device(CUDA, 0, False)),
        ("auto", False, True, Device(CPU, 0, True)),
        ("auto", True, False, Device(CPU, 0, True)),
        ("cuda", True, True, Device(CUDA, 0, True)),
        ("cuda:3", True, True, Device(CUDA, 3, True)),
    ],
)
def test_choose_device_follows_the_setting_and_what_is_there(
    setting: str, built_with_cuda: bool, gpu_present: bool, expected: Device
) -> None:
    available = [CUDA, CPU] if built_with_cuda else [CPU]
    device = choose_device(setting, available=available, gpu_present=gpu_present, path="model.yaml")
    assert device == expected


@pytest.mark.parametrize(
    ("available", "gpu_present", "says"),
    [([CPU], True, "built without CUDA"), ([CUDA, CPU], False, "no NVIDIA GPU")],
)
def test_choose_device_says_why_when_cuda_is_asked_for_in_vain(
    available: list[str], gpu_present: bool, says: str
) -> None:
    with pytest.raises(RepositoryError, match=says) as caught:
        choose_device("cuda", available=available, gpu_present=gpu_present, path="model.yaml")
    assert caught.value.field == "resources.device"
    assert "penstock[gpu]" in caught.value.remedy


def test_providers_end_with_the_cpu_and_carry_the_device_number() -> None:
    first, last = Device(CUDA, 2, True).providers()
    assert last == CPU
    assert first[0] == CUDA
    assert first[1]["device_id"] == "2"
    assert Device(CPU, 0, True).providers() == [CPU]


def test_nvidia_device_present_looks_for_the_driver(tmp_path: Path) -> None:
    node = tmp_path / "nvidiactl"
    assert not nvidia_device_present([node])
    node.touch()
    assert nvidia_device_present([node])
