"""``penstock optimize``: what it prints and how it exits."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

from optimize.errors import Interrupted, OptimizeError
from optimize.plan import plan_of
from optimize.progress import Progress
from optimize.run import Outcome, optimise

__all__ = ["main"]

NEEDED = ("lightgbm", "onnx", "onnxmltools", "onnxruntime", "pandas", "skl2onnx", "sklearn")
CTRL_C = 130


def main(
    folder: Path,
    target: str | None,
    dry_run: bool,
    as_json: bool,
    made: Callable[[Path], object] = lambda _: None,
) -> int:
    """Optimise the model in ``folder``; the exit code. ``made`` is told of the version that passes.

    0: a version passes; 3: none passes; 4: a measurement did not settle; 130: Ctrl-C.

    Raises:
        OptimizeError: a step cannot do its work.
    """
    settings, _, planned = plan_of(folder)
    if target not in (None, settings.target.device):
        raise OptimizeError(
            step="plan",
            problem=f"{folder} is set up for {settings.target.device}, not {target}",
            remedy="change optimize.target.device in its model.yaml",
        )
    if dry_run:
        print(f"export {settings.source}, then try {len(planned)} candidates:")  # noqa: T201
        for index, candidate in enumerate(planned):
            late = index >= settings.search.max_trials
            absent = next(filter(None, (step.unavailable() for step in candidate.steps)), "")
            why = "beyond max_trials" if late else absent and f"skipped: {absent}"
            print(f"  {candidate.name}{f' ({why})' if why else ''}")  # noqa: T201
        return 0
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OptimizeError(
            step="start",
            problem=f"{', '.join(missing)} is not installed",
            remedy="install the extra: pip install 'penstock[cpu,optimize]'",
        )
    progress = Progress(sys.stderr)
    try:
        outcome = optimise(folder, progress)
    except Interrupted as error:
        progress.say(f"\npenstock: {error}")
        return CTRL_C
    except KeyboardInterrupt:
        progress.say("\npenstock: stopped by Ctrl-C; finished steps are kept: run again to go on")
        return CTRL_C
    if as_json:
        print(json.dumps(_as_json(outcome), indent=1, default=str))  # noqa: T201
    else:
        print("\n".join(_lines(outcome)))  # noqa: T201
    if outcome.version is not None:
        made(outcome.version)
    return outcome.exit_code


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "exit_code": outcome.exit_code,
        "version": str(outcome.version) if outcome.version else None,
        "unchanged": outcome.unchanged,
        "report": outcome.report,
    }


def _lines(outcome: Outcome) -> list[str]:
    page = outcome.report_folder / "index.html"
    if outcome.version is not None:
        if outcome.unchanged:
            return [f"nothing changed: {outcome.version} is what would be made again"]
        return [f"made {outcome.version}: {outcome.report['chosen']}", f"report: {page}"]
    why = "the measurements did not settle" if outcome.exit_code == 4 else "no candidate passes"
    lines = [f"nothing was packaged: {why}"]
    lines += [
        f"  {each['name']}: {each['verdict']}: {each['reason']}"
        for each in outcome.report["candidates"]
    ]
    return [*lines, f"report: {page}"]
