"""``manifest.json``: what ``penstock optimize`` promises of a version, and how the server holds it.

Only what serving needs is read strictly; lineage, gates and metrics are kept as they are, for
people and tools.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from serve.config import InputConfig, ModelConfig, Tokenizer
from serve.config.base import path_inside
from serve.config.model import GraphOptimization
from serve.errors import RepositoryError
from serve.repository.files import read_text, reason_of, shown

__all__ = [
    "MANIFEST",
    "FileEntry",
    "Golden",
    "Manifest",
    "Profile",
    "ProfileRow",
    "Session",
    "TensorEntry",
    "check_files",
    "file_sha256",
    "read_manifest",
    "settings_of",
]

MANIFEST = "manifest.json"
REBUILD = "build the version again with `penstock optimize`, or copy all of it again"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Part):
    """A file of the version, relative to its folder."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return path_inside(value, "the version's folder")


class TensorEntry(_Part):
    """A tensor of the signature; ``missing`` is what stands in for a null (inputs only).

    NaN and infinities are written as strings, because JSON has no numbers for them.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    missing: bool | int | float | str | None = None

    def default(self) -> bool | int | float | str | None:
        """``missing`` as the value that the input takes."""
        if isinstance(self.missing, str) and self.datatype != "BYTES":
            return float(self.missing)
        return self.missing


class SignatureEntry(_Part):
    """What the version takes and gives."""

    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]


class Session(_Part):
    """How the version was measured, and is to be run unless model.yaml says otherwise."""

    intra_op_threads: int | None = Field(None, ge=1, le=1024)
    graph_optimization: GraphOptimization | None = None


class Golden(_Part):
    """Samples with their answers, and how far an answer may be from them.

    They were asked as one batch. In another one a row may be ``batch_atol`` further away: dynamic
    quantisation takes its scales from the batch.
    """

    path: str
    atol: float = Field(ge=0)
    rtol: float = Field(ge=0)
    batch_atol: float = Field(0.0, ge=0)

    def allowed(self, all_rows: bool) -> float:
        """The absolute tolerance, of the batch of all samples or of another."""
        return self.atol if all_rows else self.atol + self.batch_atol


class ProfileRow(_Part):
    """What batches of one size took; ``length`` is that of their rows, where it varies."""

    batch: int = Field(ge=1)
    length: int | None = Field(None, ge=1)
    count: int = Field(ge=1)
    p50_us: float = Field(gt=0)
    p95_us: float = Field(gt=0)
    p99_us: float = Field(gt=0)


class Profile(_Part):
    """Measurements on one kind of machine, with one setting of the session.

    Where rows vary in length there is a row for each length at each batch size, and
    ``typical_length`` is the one that most of the evaluation set's rows fit.
    """

    hardware_key: str
    intra_op_threads: int = Field(ge=1)
    graph_optimization: GraphOptimization = "all"
    typical_length: int | None = Field(None, ge=1)
    rows: tuple[ProfileRow, ...] = Field(min_length=1)
    load_ms: float = 0.0
    memory_bytes: int = 0


class Manifest(_Part):
    """All of ``manifest.json``."""

    schema_version: Literal[1]
    name: str
    version: int = Field(ge=1)
    created: str
    signature: SignatureEntry
    files: tuple[FileEntry, ...] = Field(min_length=1)
    session: Session = Session()
    tokenizer: Tokenizer | None = None
    golden: Golden | None = None
    profiles: tuple[Profile, ...] = ()
    reference: str = ""
    report: str = ""
    metrics: dict[str, Any] = Field(default_factory=dict)
    gates: tuple[dict[str, Any], ...] = ()
    lineage: dict[str, Any] = Field(default_factory=dict)

    def profile_for(
        self, hardware_key: str, threads: int, graph_optimization: str = "all"
    ) -> dict[int, int]:
        """Batch rows to nanoseconds as measured on such a machine; empty if it never was."""
        session = (hardware_key, threads, graph_optimization)
        for each in self.profiles:
            if session == (each.hardware_key, each.intra_op_threads, each.graph_optimization):
                return {
                    row.batch: max(1, int(row.p50_us * 1000))
                    for row in each.rows
                    if row.length == each.typical_length
                }
        return {}


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a version's folder; None if there is none.

    Raises:
        RepositoryError: it cannot be read, is no JSON, or a field is wrong.
    """
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        return None
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RepositoryError(
            path=str(path), problem=f"is not JSON: {error}", remedy=REBUILD
        ) from error
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        given = shown(str(first["input"])) if first["loc"] else "another kind of value"
        problem = f"{first['msg'].removeprefix('Value error, ')}, is {given}"
        if first["type"] == "missing":
            problem = "is missing"
        raise RepositoryError(
            path=str(path), field=field, problem=problem, remedy=REBUILD
        ) from error


def check_files(folder: Path, manifest: Manifest, *, contents: bool) -> None:
    """Hold the files of a version against its manifest: their sizes and, if asked, ``contents``.

    Raises:
        RepositoryError: a file is not there, or is not the one that was verified.
    """
    for index, entry in enumerate(manifest.files):
        path = folder / entry.path
        field = f"files.{index}"
        try:
            size = path.stat().st_size
            if size != entry.bytes:
                problem = f"{entry.path} has {size} bytes, {entry.bytes} were verified"
                raise _changed(folder, f"{field}.bytes", problem)
            if contents and file_sha256(path) != entry.sha256:
                problem = f"the contents of {entry.path} are not those that were verified"
                raise _changed(folder, f"{field}.sha256", problem)
        except OSError as error:
            problem = f"{entry.path} cannot be read: {reason_of(error)}"
            raise _changed(folder, f"{field}.path", problem) from error


def _changed(folder: Path, field: str, problem: str) -> RepositoryError:
    return RepositoryError(
        path=str(folder / MANIFEST), field=field, problem=problem, remedy=REBUILD
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settings_of(config: ModelConfig, manifest: Manifest) -> ModelConfig:
    """The settings of a model with what the manifest adds; ``model.yaml`` wins where both speak."""
    inputs = dict(config.inputs)
    for entry in manifest.signature.inputs:
        known = inputs.get(entry.name, InputConfig())
        default = entry.default()
        if known.default is None and default is not None and _allowed(default, known):
            inputs[entry.name] = known.model_copy(update={"default": default})
    resources = config.resources
    update = {
        name: value
        for name, value in manifest.session.model_dump(exclude_none=True).items()
        if getattr(resources, name) is None
    }
    resources = resources.model_copy(update=update)
    tokenizer = config.tokenizer or manifest.tokenizer
    return config.model_copy(
        update={"inputs": inputs, "resources": resources, "tokenizer": tokenizer}
    )


def _allowed(default: bool | int | float | str, setting: InputConfig) -> bool:
    """A missing value is a gap for the model to fill, or within the range that callers keep."""
    if setting.range is None or isinstance(default, str) or math.isnan(default):
        return True
    low, high = setting.range
    return (low is None or default >= low) and (high is None or default <= high)
