"""Finding and reading gate files: those that are shipped, and users' own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gates.spec import GateFile
from benchmarks.yaml_file import YamlFileError, override, read_mapping, validated

__all__ = ["EXAMPLE", "LoadedGate", "find", "load", "shipped"]

FOLDER = Path(__file__).parent
EXAMPLE = FOLDER / "example.yaml"
"""The annotated file that ``penstock bench --init`` writes."""


@dataclass(frozen=True, slots=True)
class LoadedGate:
    """A gate file as it will be run."""

    path: Path
    sha256: str
    """Of the file's bytes, before overrides."""
    overrides: tuple[str, ...]
    spec: GateFile


def shipped() -> dict[str, Path]:
    """The gate files that come with Penstock, by name."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    found.pop(EXAMPLE.stem, None)
    return found


def find(name: str) -> Path:
    """The path of a gate file, given as a path or as the name of a shipped one.

    Raises:
        YamlFileError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    ours = shipped()
    if name in ours:
        return ours[name]
    raise YamlFileError(
        f"{name}: no such gate file (shipped: {', '.join(ours)};"
        " `penstock bench --init FILE` writes one to start from)"
    )


def load(
    name: str,
    overrides: Sequence[str] = (),
    *,
    server: Mapping[str, str | int | None] = {},
    only: Sequence[str] = (),
) -> LoadedGate:
    """Read, override and validate a gate file.

    ``server`` has the addresses of one that runs already, in place of the file's; ``only`` names
    the scenarios to keep.

    Raises:
        YamlFileError: names the file, the field and the remedy.
    """
    path = find(name)
    data = override(read_mapping(path), overrides)
    given = {key: value for key, value in server.items() if value is not None}
    if given:
        data["server"] = given
    if only:
        data["scenarios"] = _chosen(data.get("scenarios"), only, path)
    spec = validated(GateFile, data, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return LoadedGate(path, digest, tuple(overrides), spec)


def _chosen(scenarios: Any, only: Sequence[str], path: Path) -> list[Any]:
    named = {str(one.get("name")): one for one in scenarios or () if isinstance(one, dict)}
    unknown = [name for name in only if name not in named]
    if unknown:
        raise YamlFileError(f"{path}: no scenario {unknown[0]} (there are {', '.join(named)})")
    return [one for name, one in named.items() if name in only]
