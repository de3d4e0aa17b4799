"""What a load request may bring along: a configuration, and files in place of the repository's.

Triton's ``model_repository`` extension: ``config`` replaces the settings of the folder for as long
as the model stays loaded; with ``file:<path>`` parameters the model is made of those files alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from serve.config import ModelConfig
from serve.config.base import path_inside
from serve.errors import InvalidRequest, RepositoryError, Unsupported
from serve.repository.config_pbtxt import CONFIG_PBTXT, TritonModel, parse_config_pbtxt
from serve.repository.entry import ModelEntry
from serve.repository.files import MAX_CONFIG_BYTES, shown
from serve.repository.manifest import MANIFEST
from serve.repository.scan import scan_model
from serve.repository.validation import validate

__all__ = ["FILE", "NO_OVERRIDE", "Override", "override_of", "read_overridden", "write_files"]

CONFIG = "config"
FILE = "file:"
"""How the parameters begin that hold files."""

MAX_FILES = 1024
CODE = (".py", ".pyc", ".so", ".pt2", ".plan", ".engine")
"""What runs with the server's rights; nobody who reaches the port may bring it along."""


@dataclass(frozen=True, slots=True)
class Override:
    """``config``: JSON, "" for none; ``files``: contents by path, as in ``1/model.onnx``."""

    config: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


NO_OVERRIDE = Override()


def override_of(parameters: Mapping[str, Any]) -> Override:
    """The override in a load request's parameters, whose file contents are bytes.

    Raises:
        InvalidRequest: a parameter is unknown, of a wrong type, or names no path.
        Unsupported: a file is code.
    """
    files = {}
    for key, value in parameters.items():
        if key == CONFIG:
            if not isinstance(value, str) or not value:
                raise InvalidRequest("parameters.config: should be a model configuration in JSON")
        elif key.startswith(FILE):
            files[_checked_path(key.removeprefix(FILE))] = _content(key, value)
        else:
            raise InvalidRequest(
                f"parameters: {shown(key)} is unknown; a load takes `config` and `file:<path>`"
            )
    if files and CONFIG not in parameters:
        raise InvalidRequest(
            "parameters.config: is needed where there are `file:` parameters; {} completes the"
            " settings from the model"
        )
    if len(files) > MAX_FILES:
        raise InvalidRequest(f"parameters: {len(files)} files, at most {MAX_FILES} are taken")
    return Override(parameters.get(CONFIG, ""), files) if parameters else NO_OVERRIDE


def write_files(name: str, files: Mapping[str, bytes]) -> tempfile.TemporaryDirectory[str]:
    """A folder that holds a model's folder ``name``, made of these files. Blocks on the disk."""
    made = tempfile.TemporaryDirectory(prefix="penstock-load-")
    try:
        for path, content in files.items():
            target = Path(made.name, name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        made.cleanup()
        raise InvalidRequest(
            f"parameters: the files cannot be laid out: {error.strerror}"
        ) from None
    return made


def read_overridden(folder: Path, config: str, *, uploaded: bool) -> ModelEntry:
    """The model in a folder, with the settings that a request has in JSON.

    They are Triton's ModelConfig, or where a field of ``model.yaml`` is among them, that. Of a
    folder that was ``uploaded`` no code is run.

    Raises:
        InvalidRequest: the configuration is wrong.
        Unsupported: code in a request.
        RepositoryError: nothing of the folder can be served.
    """
    settings = _settings(folder, config)
    if settings.config.trust_native_code:
        raise InvalidRequest("parameters.config: trust_native_code is for model.yaml alone")
    entry = scan_model(folder, settings=settings)
    if uploaded and any(version.backend != "onnxruntime" for version in entry.versions):
        raise Unsupported("parameters: of the files in a request, only ONNX models are served")
    return entry


def _settings(folder: Path, config: str) -> TritonModel:
    if len(config) > MAX_CONFIG_BYTES:
        raise InvalidRequest(f"parameters.config: is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        data = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"parameters.config: is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise InvalidRequest("parameters.config: should be an object of fields")
    path = folder / CONFIG_PBTXT
    try:
        if data.keys() & (ModelConfig.model_fields.keys() - _triton_fields()):
            return TritonModel(validate(data, str(folder / "model.yaml")))
        message = json_format.ParseDict(data, model_config_pb2.ModelConfig())
        return parse_config_pbtxt(text_format.MessageToString(message), path)
    except json_format.ParseError as error:
        raise InvalidRequest(f"parameters.config: {str(error)[:300]}") from None
    except RepositoryError as error:
        where = f"parameters.config: {error.field}" if error.field else "parameters.config"
        raise InvalidRequest(f"{where}: {error.problem} ({error.remedy})") from None


def _triton_fields() -> set[str]:
    return set(model_config_pb2.ModelConfig.DESCRIPTOR.fields_by_name)


def _checked_path(path: str) -> str:
    try:
        path_inside(path, "the model's folder")
    except ValueError as error:
        raise InvalidRequest(f"parameters: file:{shown(path)}: {error}") from None
    pure = PurePosixPath(path)
    if not path.isprintable() or str(pure) != path:
        raise InvalidRequest(f"parameters: file:{shown(path)}: should be a path as in 1/model.onnx")
    if pure.suffix in CODE or pure.name == MANIFEST:
        raise Unsupported(
            f"parameters: file:{shown(path)}: code, and what vouches for it, is not taken from a"
            " request; put the model into the repository"
        )
    return path


def _content(key: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidRequest(f"parameters: {shown(key)}: should be the content of a file")
    return value
