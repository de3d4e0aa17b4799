from __future__ import annotations

from pathlib import Path

from serve.repository.hardware import hardware_key


def test_hardware_key_names_processor_instructions_and_cores(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: AMD EPYC 7763 64-Core Processor\nflags\t\t: fpu avx2 avx\n")
    assert hardware_key(2, cpuinfo) == "cpu-amd-epyc-7763-avx2-2c"
    assert hardware_key(2, cpuinfo, "NVIDIA L4") == "cpu-amd-epyc-7763-avx2-2c-on-nvidia-l4"


def test_hardware_key_is_another_one_with_other_instructions(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name : X\nflags : avx2 avx512f avx512_vnni\n")
    assert hardware_key(4, cpuinfo) == "cpu-x-avx512vnni-4c"


def test_hardware_key_does_without_a_description(tmp_path: Path) -> None:
    assert hardware_key(1, tmp_path / "none").endswith("-1c")
