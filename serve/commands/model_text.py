"""The details of a model as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve.gateway.details import Details, VersionDetails

__all__ = ["model_text"]

COMMIT_CHARACTERS = 12
SHA_CHARACTERS = 12
MOST_METRICS = 12
MOST_SIZES = 8
"""Of each profile: batch sizes that are told."""


def model_text(details: Details) -> str:
    """A paragraph for each version: its state, and what its manifest tells of it."""
    head = details.name
    if details.description:
        head += f": {details.description}"
    lines = [head]
    if details.owner:
        lines.append(f"owner: {details.owner}")
    for version in details.versions:
        lines += ["", *_version(version)]
    return "\n".join(lines)


def _version(version: VersionDetails) -> Iterator[str]:
    marks = [*version.labels, *(["answers where no version is named"] if version.answers else [])]
    told = [f"version {version.version or '-'}", version.state, version.platform, ", ".join(marks)]
    yield "  ".join(part for part in told if part)
    if version.reason:
        yield f"    {version.reason}"
    if version.manifest is None:
        if version.platform:
            yield "    no manifest is known here: nothing tells how it was made"
        return
    for name, text in _manifest(version.manifest):
        yield f"    {name:<8} {text}"


def _manifest(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a manifest tells, by subject."""
    lineage = manifest["lineage"]
    yield "made", manifest["created"] + _origin(lineage)
    if steps := [_step(step) for step in lineage.get("steps", ())]:
        yield "steps", " > ".join(steps)
    for name, digest in sorted(lineage.get("source_files", {}).items()):
        yield "source", f"{name} {str(digest)[:SHA_CHARACTERS]}"
    if metrics := list(_flat(manifest["metrics"])):
        more = f", and {len(metrics) - MOST_METRICS} more" * (len(metrics) > MOST_METRICS)
        yield "metrics", ", ".join(metrics[:MOST_METRICS]) + more
    for profile in manifest["profiles"]:
        yield "profile", _profile(profile)
    for file in manifest["files"]:
        yield "file", f"{file['path']} {file['bytes']} bytes {file['sha256'][:SHA_CHARACTERS]}"


def _origin(lineage: Mapping[str, Any]) -> str:
    source, commit = lineage.get("source"), lineage.get("code_commit")
    text = f" from {source}" if source else ""
    if isinstance(registry := lineage.get("registry"), Mapping):
        text += " from models:/{model}/{version} of {registry}".format_map(
            {"model": "?", "version": "?", "registry": "?", **registry}
        )
    return text + (f", commit {str(commit)[:COMMIT_CHARACTERS]}" if commit else "")


def _step(step: Any) -> str:
    return str(step.get("name", step)) if isinstance(step, Mapping) else str(step)


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The figures of nested metrics, each with its path."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name} {value:.4g}"
        elif isinstance(value, str):
            yield f"{prefix}{name} {value}"


def _profile(profile: Mapping[str, Any]) -> str:
    rows = [row for row in profile["rows"] if row["length"] == profile["typical_length"]]
    sizes = ", ".join(
        f"{row['batch']} in {row['p50_us'] / 1000:.3g} ms" for row in rows[:MOST_SIZES]
    )
    threads = profile["intra_op_threads"]
    return (
        f"{profile['hardware_key']}, {threads} thread{'s' * (threads > 1)}: rows {sizes} (p50);"
        f" {profile['memory_bytes'] / 1e6:.1f} MB"
    )
