"""What a ``.pt2`` says of itself, read from the archive without running anything of it.

AOTInductor writes a small JSON file into the package: the device and the instructions it was
compiled for. ``penstock optimize`` adds two entries, the signature and the version of torch, since
compiled code knows neither the names of its tensors nor checks their shapes.
"""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.errors import RepositoryError

__all__ = [
    "PACKAGED_NAME",
    "SIGNATURE_KEY",
    "TORCH_KEY",
    "Pt2Info",
    "Pt2Signature",
    "Pt2Tensor",
    "cpu_flags",
    "machine_problem",
    "read_pt2",
]

PACKAGED_NAME = "model"
"""What torch calls a program that was packaged without a name."""

SIGNATURE_KEY, TORCH_KEY = "penstock_signature", "penstock_torch"
"""What ``penstock optimize`` adds to the package's metadata."""

MAX_METADATA_BYTES = 1024 * 1024

_FLAGS_OF_ISA: Mapping[str, tuple[str, ...]] = {
    "AVX2": ("avx2", "bmi2", "f16c", "fma"),
    "AVX512": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
    "AVX512_VNNI": ("avx512_vnni",),
    "AMX_TILE": ("amx_tile",),
    "AMX_FP16": ("amx_fp16",),
}
"""AOTInductor's name of an instruction set to what the kernel calls it in ``/proc/cpuinfo``."""

COMPILE_AGAIN = "compile it on a machine like this one: `penstock optimize` does"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pt2Tensor(_Part):
    """A tensor of the program. A dimension that is a word is variable, and equal words are equal
    numbers in every call."""

    name: str
    datatype: str
    shape: tuple[int | str, ...]


class Pt2Signature(_Part):
    """Tensors in the order in which compiled code takes and gives them.

    ``ranges`` has the lowest and highest value of each word, inclusive; no highest: null.
    """

    inputs: tuple[Pt2Tensor, ...] = Field(min_length=1)
    outputs: tuple[Pt2Tensor, ...] = Field(min_length=1)
    ranges: dict[str, tuple[int, int | None]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pt2Info:
    """``device`` is cpu or cuda; the rest is empty or None where the package does not say."""

    device: str
    machine: str
    instructions: tuple[str, ...]
    compute_capability: str
    torch: str
    signature: Pt2Signature | None


def read_pt2(path: Path) -> Pt2Info:
    """What the package says of itself.

    Raises:
        RepositoryError: it cannot be read, or holds no compiled model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _metadata(path, archive)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise RepositoryError(
            path=str(path),
            problem=f"is not a .pt2 package, or was cut off while it was written: {error}",
            remedy="make it with torch._inductor.aoti_compile_and_package, and compare its size"
            " with the original",
        ) from error
    text = {key: value for key, value in found.items() if isinstance(value, str)}
    return Pt2Info(
        text.get("AOTI_DEVICE_KEY", "cpu"),
        text.get("AOTI_MACHINE", ""),
        tuple(text.get("AOTI_CPU_ISA", "").split()),
        text.get("AOTI_COMPUTE_CAPABILITY", ""),
        text.get(TORCH_KEY, ""),
        _signature(path, text.get(SIGNATURE_KEY)),
    )


def machine_problem(
    info: Pt2Info, torch_version: str, flags: frozenset[str], machine: str = platform.machine()
) -> str:
    """Why compiled code would not run here, where it would end the process; empty if it may."""
    if info.machine and info.machine != machine:
        return f"was compiled for {info.machine}, and this machine is {machine}"
    needed = [flag for name in info.instructions for flag in _FLAGS_OF_ISA.get(name, ())]
    missing = [flag for flag in needed if flag not in flags]
    if flags and missing and info.device == "cpu":
        return f"was compiled for a processor with {missing[0]}, which this one lacks"
    if info.torch and info.torch.partition("+")[0] != torch_version.partition("+")[0]:
        return f"was compiled with torch {info.torch}, and torch {torch_version} is installed"
    return ""


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The instruction sets of this machine, by the kernel's names; empty if it does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _metadata(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    """The metadata of the model named ``PACKAGED_NAME``."""
    names = [name.partition("/")[2] for name in archive.namelist()]
    root = archive.namelist()[0].partition("/")[0] if names else ""
    ours = [
        name
        for name in names
        if name.startswith(f"data/aotinductor/{PACKAGED_NAME}/")
        and name.endswith("wrapper_metadata.json")
    ]
    if not ours:
        is_program = any(name.startswith("models/") for name in names)
        problem = "is an exported program, which is not compiled" if is_program else "has no model"
        raise RepositoryError(
            path=str(path),
            problem=problem,
            remedy="compile it with torch._inductor.aoti_compile_and_package, or let"
            " `penstock optimize` do so with the step aot-inductor",
        )
    entry = archive.getinfo(f"{root}/{ours[0]}")
    if entry.file_size > MAX_METADATA_BYTES:
        raise ValueError(f"its metadata has {entry.file_size} bytes")
    data = json.loads(archive.read(entry))
    if not isinstance(data, dict):
        raise ValueError("its metadata is no JSON object")
    return data


def _signature(path: Path, text: str | None) -> Pt2Signature | None:
    if text is None:
        return None
    try:
        return Pt2Signature.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise RepositoryError(
            path=str(path),
            field=f"{SIGNATURE_KEY}.{field}",
            problem=first["msg"],
            remedy="build the version again with `penstock optimize`",
        ) from error
