"""The whole way: export, candidates, verify, profile, judge, package, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.applicable import target_gpu, that_fit
from optimize.artefact import export_details
from optimize.cache import Cache, code_digest, library_versions
from optimize.candidates import Candidates
from optimize.foundation import Foundation, lay_foundation
from optimize.judge import Trial, best
from optimize.lock import model_lock
from optimize.plan import Candidate, plan_of
from optimize.progress import Progress
from optimize.publishing import publish_chosen
from optimize.report.document import document
from optimize.runner import Runner
from serve.backends.threads import available_cores
from serve.repository.hardware import hardware_key

__all__ = ["Outcome", "optimise"]

WORK_FOLDER = ".optimize"
"""In the model's folder: the cache, the lock and the last report. It can be deleted at any time."""


@dataclass(frozen=True)
class Outcome:
    """``exit_code`` 0: ``version`` passes; 3: nothing passes; 4: it could not be told."""

    exit_code: int
    version: Path | None
    report: dict[str, Any]
    report_folder: Path
    unchanged: bool = False


def optimise(folder: Path, progress: Progress) -> Outcome:
    """Optimise one model and put the next version into its folder, if any candidate passes.

    Raises:
        OptimizeError: a step cannot do its work; the repository is as it was.
    """
    folder = folder.resolve()
    settings, config, planned = plan_of(folder)
    gpu = target_gpu(settings.target.device)
    work = folder / WORK_FOLDER
    with model_lock(work):
        cache = Cache(work / "cache")
        cache.sweep()
        base = {
            "folder": str(folder),
            "references": [settings.source, settings.data.evaluation, *settings.metrics],
            "code": code_digest(),
            "device": settings.target.device,
        }
        hardware = hardware_key(available_cores(), gpu=gpu)
        libraries = library_versions()
        runner = Runner(folder, config, settings, cache, progress, base, libraries, hardware)
        return _optimise(runner, planned, work / "report")


def _optimise(runner: Runner, planned: list[Candidate], report_folder: Path) -> Outcome:
    settings = runner.settings
    runner.progress.total = _steps(planned[: settings.search.max_trials])
    foundation = lay_foundation(runner)
    candidates = Candidates(runner, foundation)
    trials = _try_all(
        runner, candidates, that_fit(planned, foundation.export.path, settings.target.device)
    )
    report = _report(runner, foundation, trials)
    chosen = best(trials, settings.objective, settings.gates.at_batch)
    if chosen is None:
        candidates.forget_unsettled()
        _write_report(report_folder, report)
        open_ones = any(trial.verdict == "inconclusive" for trial in trials)
        return Outcome(4 if open_ones else 3, None, report, report_folder)
    report["chosen"] = chosen.candidate.name
    artefact = candidates.artefact(chosen.candidate)
    version, new = publish_chosen(runner, foundation, chosen, artefact, report)
    if new:
        _write_report(report_folder, report)
    return Outcome(0, version, report, version / "report", unchanged=not new)


def _steps(tried: list[Candidate]) -> int:
    """How many steps there are at most, for the progress."""
    artefacts = len({candidate.steps for candidate in tried})
    return 3 + sum(len(each.steps) for each in tried) + artefacts + len(tried) + 2


def _try_all(runner: Runner, candidates: Candidates, planned: list[Candidate]) -> list[Trial]:
    """Every candidate in turn, as far as the search may go."""
    search = runner.settings.search
    trials = [Trial(candidate) for candidate in planned]
    for index, trial in enumerate(trials):
        if index >= search.max_trials:
            trial.skipped = f"max_trials is {search.max_trials}"
        elif runner.progress.elapsed_s > search.max_minutes * 60:
            trial.skipped = f"max_minutes is {search.max_minutes:g}"
        else:
            candidates.try_out(trial)
    return trials


def _report(runner: Runner, foundation: Foundation, trials: list[Trial]) -> dict[str, Any]:
    reference = foundation.reference.path
    found = document(
        runner.folder.name,
        runner.settings,
        trials,
        reference,
        runner.hardware,
        runner.libraries,
    )
    details = export_details(foundation.export.path)
    found["export"] = {name: value for name, value in details.items() if name != "signature"}
    return found


def _write_report(folder: Path, report: dict[str, Any]) -> None:
    from optimize.report.page import write_report

    write_report(folder, report)
