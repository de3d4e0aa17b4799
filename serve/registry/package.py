"""From the downloaded files of a registered model to the files of a version, with its manifest."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serve.backends.base import BackendSource
from serve.backends.registry import create_backend
from serve.config import ModelConfig, Resources
from serve.errors import PenstockError, RepositoryError
from serve.registry.client import problem_with
from serve.registry.convert import convert
from serve.registry.mlmodel import CONVERTED, OF_MLFLOW, PACKAGE, flavour_of
from serve.repository.files import shown
from serve.repository.manifest import MANIFEST, check_files, file_sha256, read_manifest
from serve.tensors import Signature

__all__ = ["lay_out"]

MODEL = "model.onnx"
SIGNATURE = "signature.json"
GOLDEN = "golden.npz"
CONVERTED_ATOL, CONVERTED_RTOL = 1e-4, 1e-3
"""How far another machine's kernels may answer from the golden samples of a conversion."""


def lay_out(
    download: Path, version: Path, model: str, number: int, origin: Mapping[str, Any]
) -> None:
    """Fill the empty folder ``version`` with what was downloaded, converted if need be.

    Args:
        model: The name of the model that is served.
        number: The number that the version will have.
        origin: Where it comes from, for the lineage.

    Raises:
        RepositoryError: its flavour is none that can be served, a file is not the one that was
            registered, or the conversion fails.
    """
    what = f"models:/{origin['model']}/{origin['version']}"
    flavour, settings = flavour_of(download, what)
    lineage = {**origin, "flavour": flavour}
    if flavour == PACKAGE:
        _copy(download, version, what)
        manifest = _packaged(version, what)
    elif flavour in CONVERTED:
        lineage["files"] = {
            str(path.relative_to(download)): file_sha256(path) for path in _files(download)
        }
        convert(download, version, flavour, what)
        manifest = _of_conversion(version)
    else:
        _copy(download, version, what)
        _name_graph(version, str(settings.get("data") or MODEL), what)
        manifest = {}
    if not manifest:
        manifest = _of_graph(version, what)
    manifest |= {"name": model, "version": number}
    manifest["lineage"] = {**manifest.get("lineage", {}), "registry": lineage}
    text = json.dumps(manifest, indent=1)
    (version / MANIFEST).write_text(text + "\n", encoding="utf-8")
    read_manifest(version)  # what cannot be read would be found out by the server


def _packaged(version: Path, what: str) -> dict[str, Any]:
    """The manifest that came with a package, whose files are held against it."""
    try:
        manifest = read_manifest(version)
        if manifest is None:
            return {}
        check_files(version, manifest, contents=True)
    except RepositoryError as error:
        raise problem_with(
            what,
            f"its files are not those that were registered: {error.problem}",
            "push the version again, and move the alias to that",
        ) from error
    found: dict[str, Any] = json.loads((version / MANIFEST).read_text(encoding="utf-8"))
    return found


def _of_conversion(version: Path) -> dict[str, Any]:
    """The manifest of what was exported here, with the samples that it was checked on."""
    signature = json.loads((version / SIGNATURE).read_text(encoding="utf-8"))
    (version / SIGNATURE).unlink()
    manifest = _manifest(version, signature)
    manifest["golden"] = {"path": GOLDEN, "atol": CONVERTED_ATOL, "rtol": CONVERTED_RTOL}
    return manifest


def _of_graph(version: Path, what: str) -> dict[str, Any]:
    """The manifest of files that came without one; a graph that cannot be loaded stops here."""
    artefact = version / MODEL
    if not artefact.is_file():
        raise problem_with(
            what, f"it has no {MODEL} and no manifest", "push it with `penstock models push`"
        )
    resources = Resources(device="cpu", intra_op_threads=1, graph_optimization="off")
    config = ModelConfig(backend="onnxruntime", resources=resources)
    backend = create_backend("onnxruntime")
    try:
        signature = backend.load(BackendSource("pulled", 1, version, artefact, config))
    except PenstockError as error:
        raise problem_with(
            what, f"its graph cannot be loaded: {error}", "register one that ONNX Runtime runs"
        ) from error
    backend.close()
    return _manifest(version, _tensors(signature))


def _tensors(signature: Signature) -> dict[str, Any]:
    return {
        side: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in tensors]
        for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }


def _manifest(version: Path, signature: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "signature": dict(signature),
        "files": [
            {
                "path": str(path.relative_to(version)),
                "sha256": file_sha256(path),
                "bytes": path.stat().st_size,
            }
            for path in _files(version)
        ],
    }


def _copy(download: Path, version: Path, what: str) -> None:
    """The model's own files, moved as they are."""
    for path in sorted(download.iterdir()):
        if path.name not in OF_MLFLOW:
            shutil.move(path, version / path.name)
    for path in version.rglob("*"):
        if path.is_symlink() or path.name.startswith("."):
            name = shown(str(path.relative_to(version)))
            raise problem_with(
                what, f"it has {name}, a link or a hidden file", "register it without"
            )


def _name_graph(version: Path, data: str, what: str) -> None:
    """Give the graph the name that the server looks for; its weights stay beside it."""
    path = version / data
    inside = ".." not in Path(data).parts and not Path(data).is_absolute()
    if not inside or not path.is_file():
        raise problem_with(what, f"it has no {shown(data)}", "register it again")
    for each in sorted(path.parent.iterdir()) if path.parent != version else ():
        each.rename(version / each.name)
    (version / path.name).rename(version / MODEL)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
