"""From the chosen candidate to the next version, or to the latest if it is the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimize.artefact import served_file
from optimize.cache import digest
from optimize.errors import OptimizeError
from optimize.foundation import Foundation
from optimize.judge import Trial
from optimize.lineage import lineage_of
from optimize.package import Chosen, publish, version_made_by
from optimize.runner import Done, Runner

__all__ = ["publish_chosen"]


def publish_chosen(
    runner: Runner,
    foundation: Foundation,
    chosen: Trial,
    artefact: Done,
    report: dict[str, Any],
) -> tuple[Path, bool]:
    """The folder of the version, and whether it is new.

    Raises:
        OptimizeError: it cannot be written, or does not answer as it was verified.
    """
    candidate = chosen.candidate
    file = served_file(artefact.path)
    assert file is not None
    task = {
        "task": "package",
        "threads": candidate.threads,
        "graph_level": candidate.graph_level,
        **foundation.shared,
        "artefact": str(artefact.path),
    }
    package = runner.do("package", task, artefact.key, foundation.reference.key)
    made_from = digest(package.key, runner.settings.model_dump(mode="json"), runner.hardware)
    known = version_made_by(runner.folder, made_from)
    if known is not None:
        return known, False
    what = Chosen(
        chosen,
        file,
        package.path,
        foundation.reference.path,
        runner.hardware,
        made_from,
        lineage_of(runner, chosen, report["export"]),
    )

    def replay(staging: Path) -> None:
        again = {"task": "replay", "package": str(staging)}
        runner.once("replay in a fresh process", again, made_from, str(staging))

    try:
        return publish(runner.folder, what, report, replay, runner.settings.gates), True
    except OSError as error:
        raise OptimizeError(
            step="package",
            problem=f"the next version cannot be written: {error.strerror or error}",
            remedy=f"make room in {runner.folder}, writable, and run again: finished steps are"
            " kept",
        ) from error
