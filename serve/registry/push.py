"""A version of a repository → a version of a registered model, with where it comes from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serve.config.source import NAME
from serve.registry.client import Package, Registered, Registry, problem_with
from serve.repository.artefact import find_artefact
from serve.repository.files import shown
from serve.repository.manifest import (
    Manifest,
    check_files,
    file_sha256,
    read_manifest,
)
from serve.repository.versions import VERSION

__all__ = ["package_of", "push"]

QUOTE = re.compile(r"['\"`]")
LONGEST_VALUE = 500
"""Characters of a parameter or a tag that every MLflow takes."""
LONGEST_NAME = 250
MOST_METRICS = 200


def push(version: Path, name: str, registry: Registry, alias: str = "") -> tuple[Registered, bool]:
    """Register the version in this folder as one of ``name``; whether it is new there.

    What is registered already, with these contents, is not registered again; ``alias`` is moved to
    it in either case. Blocks.

    Raises:
        RepositoryError: the folder is no version, is not whole, or the registry cannot take it.
    """
    if QUOTE.search(name) or NAME.fullmatch(name) is None:
        raise problem_with(
            version,
            f"{shown(name)} is no name of a registered model",
            "give one with --name: no slash, colon, at-sign or quote",
        )
    return registry.register(name, package_of(version), alias)


def package_of(version: Path) -> Package:
    """What is registered of a version's folder.

    Raises:
        RepositoryError: it is no version, or a file is not the one that was verified.
    """
    if not VERSION.fullmatch(version.name) or not version.is_dir():
        raise problem_with(
            version, "is no version's folder", "give MODEL_FOLDER/NUMBER, as in models/fraud/3"
        )
    manifest = read_manifest(version)
    if manifest is not None:
        check_files(version, manifest, contents=True)
    artefact, _ = find_artefact(version, None)
    lineage = manifest.lineage if manifest is not None else {}
    files = _files(version)
    return Package(
        version,
        files,
        _digest(version, files),
        str(artefact.relative_to(version)),
        params=_params(lineage),
        metrics=_metrics(manifest),
        tags=_tags(version, lineage),
    )


def _files(version: Path) -> tuple[Path, ...]:
    """All files, less what Python and people leave beside them."""
    return tuple(
        path
        for path in sorted(version.rglob("*"))
        if path.is_file()
        and not any(
            part.startswith(".") or part == "__pycache__"
            for part in path.relative_to(version).parts
        )
    )


def _digest(version: Path, files: tuple[Path, ...]) -> str:
    """Of the files' names and contents."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(version)}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _params(lineage: Mapping[str, Any]) -> dict[str, str]:
    """The steps that made it, with their parameters."""
    params: dict[str, str] = {}
    for index, step in enumerate(lineage.get("steps", ())):
        for key, value in {"": step.get("name"), **(step.get("parameters") or {})}.items():
            name = f"step{index}.{key}" if key else f"step{index}"
            params[_plain(name)] = _short(value)
    return params


def _metrics(manifest: Manifest | None) -> dict[str, float]:
    """The figures of the manifest, and the measured latency of each batch size."""
    if manifest is None:
        return {}
    found = dict(_flat(manifest.metrics))
    for profile in manifest.profiles[:1]:
        for row in profile.rows:
            if row.length == profile.typical_length:
                found[f"latency_p50_ms.batch_{row.batch}"] = row.p50_us / 1000
                found[f"latency_p99_ms.batch_{row.batch}"] = row.p99_us / 1000
    return dict(list(found.items())[:MOST_METRICS])


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield _plain(f"{prefix}{name}"), float(value)


def _tags(version: Path, lineage: Mapping[str, Any]) -> dict[str, str]:
    tags = {"penstock.version": f"{version.absolute().parent.name}/{version.name}"}
    for key in ("source", "code_commit", "made_from", "data", "source_files"):
        if lineage.get(key):
            tags[f"penstock.{key}"] = _short(lineage[key])
    return tags


def _plain(name: str) -> str:
    """A name of a metric or parameter as every MLflow takes it."""
    return re.sub(r"[^A-Za-z0-9_. /-]", "_", name)[:LONGEST_NAME]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
