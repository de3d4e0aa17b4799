from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from serve.backends.pt2_file import (
    SIGNATURE_KEY,
    TORCH_KEY,
    Pt2Info,
    cpu_flags,
    machine_problem,
    read_pt2,
)
from serve.errors import RepositoryError

TENSOR = {"name": "x", "datatype": "FP32", "shape": ["batch", 4]}
SIGNATURE = {"inputs": [TENSOR], "outputs": [TENSOR], "ranges": {"batch": [1, None]}}


def package(path: Path, metadata: Any, name: str = "abc.wrapper_metadata.json") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data/aotinductor/model/abc.wrapper.so", b"never read")
        archive.writestr(f"m/data/aotinductor/model/{name}", json.dumps(metadata))
    return path


def info(**fields: Any) -> Pt2Info:
    usual = {
        "device": "cpu",
        "machine": "x86_64",
        "instructions": ("AVX2",),
        "compute_capability": "",
        "torch": "2.13.0+cpu",
        "signature": None,
    }
    return Pt2Info(**{**usual, **fields})


def test_read_pt2_gives_device_instructions_and_signature(tmp_path: Path) -> None:
    data = {
        "AOTI_DEVICE_KEY": "cpu",
        "AOTI_MACHINE": "x86_64",
        "AOTI_CPU_ISA": "AVX512 AVX512_VNNI",
        TORCH_KEY: "2.13.0",
        SIGNATURE_KEY: json.dumps(SIGNATURE),
    }
    found = read_pt2(package(tmp_path / "model.pt2", data))
    assert (found.device, found.machine, found.torch) == ("cpu", "x86_64", "2.13.0")
    assert found.instructions == ("AVX512", "AVX512_VNNI")
    assert found.signature is not None
    assert found.signature.inputs[0].shape == ("batch", 4)


def test_read_pt2_takes_a_package_that_says_nothing_more(tmp_path: Path) -> None:
    found = read_pt2(package(tmp_path / "model.pt2", {"AOTI_DEVICE_KEY": "cuda"}))
    assert (found.device, found.signature) == ("cuda", None)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"", "is not a .pt2 package"),
        (b"PK\x03\x04 cut off", "is not a .pt2 package"),
    ],
)
def test_read_pt2_refuses_what_is_no_archive(tmp_path: Path, contents: bytes, problem: str) -> None:
    (tmp_path / "model.pt2").write_bytes(contents)
    with pytest.raises(RepositoryError, match=problem):
        read_pt2(tmp_path / "model.pt2")


def test_read_pt2_tells_a_program_that_is_not_compiled(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("m/models/model.json", "{}")
    with pytest.raises(RepositoryError, match=r"not compiled.*aot-inductor"):
        read_pt2(tmp_path / "model.pt2")


def test_read_pt2_names_the_field_of_a_wrong_signature(tmp_path: Path) -> None:
    data = {SIGNATURE_KEY: json.dumps({**SIGNATURE, "outputs": [{"name": "y"}]})}
    with pytest.raises(RepositoryError, match=r"penstock_signature\.outputs\.0"):
        read_pt2(package(tmp_path / "model.pt2", data))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, ""),
        ({"machine": "aarch64"}, "compiled for aarch64"),
        ({"instructions": ("AVX512",)}, "a processor with avx512"),
        ({"instructions": ("AVX512",), "device": "cuda"}, ""),
        ({"torch": "2.12.1"}, "compiled with torch 2.12.1"),
        ({"torch": ""}, ""),
    ],
)
def test_machine_problem_says_what_would_end_the_process(
    fields: dict[str, Any], problem: str
) -> None:
    flags = frozenset({"avx2", "fma", "f16c", "bmi2"})
    found = machine_problem(info(**fields), "2.13.0", flags, machine="x86_64")
    assert problem in found
    assert bool(problem) == bool(found)


def test_cpu_flags_reads_the_first_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: X\nflags\t\t: fpu avx2\n\nflags\t\t: other\n")
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2"}
    assert cpu_flags(tmp_path / "absent") == frozenset()
