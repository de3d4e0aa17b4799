"""The whole way: export, candidates, verify, profile, judge, package, report."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.applicable import cannot, no_graph, target_gpu, that_fit
from optimize.artefact import export_details, served_file
from optimize.cache import Cache, code_digest, digest, files_digest, library_versions
from optimize.child import run_step
from optimize.errors import OptimizeError
from optimize.gates import Gate
from optimize.judge import Trial, best, speed_gates
from optimize.lock import model_lock
from optimize.package import Chosen, publish, version_made_by
from optimize.plan import Candidate, Stage, candidates, parse_stages
from optimize.progress import Progress
from optimize.report.document import document
from optimize.sensitivity import SENSITIVITY
from optimize.settings import OptimizeSettings, parse_settings
from optimize.steps.base import MODEL
from optimize.steps.distil import RESULT
from serve.backends.threads import available_cores
from serve.config import ModelConfig
from serve.repository.hardware import hardware_key
from serve.repository.model_yaml import read_model_yaml

__all__ = ["Outcome", "optimise", "plan_of"]

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


@dataclass
class _Run:
    """One optimisation under way: what all of its steps share."""

    folder: Path
    config: ModelConfig
    settings: OptimizeSettings
    cache: Cache
    progress: Progress
    base: dict[str, Any]
    libraries: dict[str, str]
    hardware: str

    def do(self, text: str, task: dict[str, Any], *inputs: str, key_also: Any = None) -> _Done:
        """Run a step unless it was run before; ``inputs`` are the keys of what it reads."""
        key = self.key(task, *inputs, key_also=key_also)
        with self.progress.step(text):
            path = run_step(self.cache, key, text, {**self.base, **task}, self.settings.limits)
        return _Done(key, path)

    def key(self, task: dict[str, Any], *inputs: str, key_also: Any = None) -> str:
        """The hash of a step: what it does, on what, with which code and libraries."""
        plain = {name: value for name, value in task.items() if name not in PATHS}
        made_by = (self.libraries, self.base["code"], self.base["device"])
        return digest(plain, inputs, key_also, *made_by)


@dataclass(frozen=True)
class _Done:
    key: str
    path: Path


PATHS = ("artefact", "baseline", "export", "lessons", "reference", "source_result", "unrounded")
"""Fields of a task that only say where the cache is; their contents are in the keys."""


def plan_of(folder: Path) -> tuple[OptimizeSettings, ModelConfig, list[Candidate]]:
    """What would be done to the model in ``folder``.

    Raises:
        OptimizeError: its settings are wrong.
        RepositoryError: its model.yaml cannot be read.
    """
    path = folder / "model.yaml"
    if not path.is_file():
        raise OptimizeError(
            step="settings", problem=f"there is no {path}", remedy="give a model's own folder"
        )
    config = read_model_yaml(path)
    settings = parse_settings(config.optimize, path)
    cores = available_cores()
    threads = sorted({min(count, cores) for count in settings.target.threads})
    if config.resources.intra_op_threads is not None:
        # What model.yaml sets is what will be served, so nothing else is worth measuring.
        threads = [config.resources.intra_op_threads]
    stages: Sequence[Stage] = parse_stages(settings.steps)
    _need_lessons(settings, stages)
    levels: Sequence[str] = settings.target.graph_levels
    if config.resources.graph_optimization is not None:
        levels = [config.resources.graph_optimization]
    return settings, config, candidates(stages, threads, levels)


def _need_lessons(settings: OptimizeSettings, stages: Sequence[Stage]) -> None:
    first, *others = [
        any(step is not None and step.learns for step in stage) for stage in stages or [()]
    ]
    if any(others):
        raise OptimizeError(
            step="plan",
            problem="optimize.steps: distil comes after a step whose work it would throw away",
            remedy="put it into the first stage",
        )
    if first and not (settings.data.training or settings.data.transfer):
        raise OptimizeError(
            step="plan",
            problem="distil has no rows to learn from: those of optimize.data.evaluation are kept"
            " to judge by",
            remedy="set optimize.data.training (with a target) or optimize.data.transfer",
        )


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
        libraries = library_versions()
        base = {
            "folder": str(folder),
            "references": [settings.source, settings.data.evaluation, *settings.metrics],
            "code": code_digest(),
            "device": settings.target.device,
        }
        run = _Run(
            folder,
            config,
            settings,
            cache,
            progress,
            base,
            libraries,
            hardware_key(available_cores(), gpu=gpu),
        )
        return _optimise(run, planned, work / "report")


def _optimise(run: _Run, planned: list[Candidate], report_folder: Path) -> Outcome:
    settings, progress = run.settings, run.progress
    tried = planned[: settings.search.max_trials]
    artefacts = len({candidate.steps for candidate in tried})
    progress.total = 3 + sum(len(each.steps) for each in tried) + artefacts + len(tried) + 2

    sources = _source_files(run)
    source = run.do(
        "source",
        {
            "task": "source",
            "source": settings.source,
            "evaluation": settings.data.evaluation,
            "target": settings.data.target,
            "outputs": list(run.config.outputs),
            "variable": _variable(run.config),
        },
        files_digest(sources),
    )
    about_source = {"source_result": str(source.path)}
    export = run.do("export", {"task": "export", **about_source}, source.key)
    planned = that_fit(planned, export.path, settings.target.device)
    inputs = run.config.inputs
    reference_task = {
        "task": "reference",
        "export": str(export.path),
        "defaults": {
            name: each.default for name, each in inputs.items() if each.default is not None
        },
        "ranges": {name: each.range for name, each in inputs.items() if each.range is not None},
        "boundary_ulps": settings.gates.boundary_ulps,
        **about_source,
    }
    reference = run.do("reference", reference_task, source.key, export.key)
    shared = {
        **about_source,
        "export": str(export.path),
        "reference": str(reference.path),
        "defaults": reference_task["defaults"],
    }
    trials = [Trial(candidate) for candidate in planned]
    made: dict[tuple[Any, ...], _Done | str] = {(): export}
    for index, trial in enumerate(trials):
        if index >= settings.search.max_trials:
            trial.skipped = f"max_trials is {settings.search.max_trials}"
        elif progress.elapsed_s > settings.search.max_minutes * 60:
            trial.skipped = f"max_minutes is {settings.search.max_minutes:g}"
        else:
            _try(run, trial, made, shared, export, reference)
    report = document(
        run.folder.name, settings, trials, reference.path, run.hardware, run.libraries
    )
    report["export"] = {
        name: value for name, value in export_details(export.path).items() if name != "signature"
    }
    chosen = best(trials, settings.objective, settings.gates.at_batch)
    if chosen is None:
        _write_report(report_folder, report)
        open_ones = any(trial.verdict == "inconclusive" for trial in trials)
        return Outcome(4 if open_ones else 3, None, report, report_folder)
    return _publish(run, chosen, trials, made, shared, reference, report, report_folder, sources)


def _try(
    run: _Run,
    trial: Trial,
    made: dict[tuple[Any, ...], _Done | str],
    shared: dict[str, Any],
    export: _Done,
    reference: _Done,
) -> None:
    """Make, verify and, if it answers rightly, profile one candidate."""
    candidate, settings = trial.candidate, run.settings
    artefact = _artefact(run, candidate, made, shared, reference)
    if isinstance(artefact, str):
        trial.skipped = artefact
        return
    if served_file(artefact.path) is None:
        trial.skipped = f"export: {no_graph(artefact.path)}"
        return
    trial.artefact_key = artefact.key
    trial.sensitivity = _sensitivities(candidate, made)
    trial.distil = _distilled(candidate, made)
    about = {**shared, "artefact": str(artefact.path)}
    verified = run.do(
        f"verify {candidate.artefact_name}",
        {
            "task": "verify",
            "lossy": candidate.lossy,
            "output": settings.output,
            "metrics": list(settings.metrics),
            "gates": settings.gates.model_dump(),
            "graph_level": candidate.graph_level,
            "unrounded": _unrounded(candidate, made),
            **about,
        },
        artefact.key,
        reference.key,
    )
    result = json.loads((verified.path / "result.json").read_text())
    trial.gates = [_gate(each) for each in result["gates"]]
    trial.metrics, trial.errors = result["metrics"], result["errors"]
    if trial.verdict != "pass":
        return
    baseline = _baseline(export, made)
    profile_task = {
        "task": "profile",
        "baseline": str(baseline.path),
        "threads": candidate.threads,
        "graph_level": candidate.graph_level,
        "batch_sizes": sorted({*settings.target.batch_sizes, settings.gates.at_batch}),
        "lengths": list(settings.target.shapes),
        **about,
    }
    profiled = run.do(
        f"profile {candidate.name}",
        profile_task,
        artefact.key,
        baseline.key,
        reference.key,
        key_also=run.hardware,
    )
    trial.profile = json.loads((profiled.path / "result.json").read_text())
    file = served_file(baseline.path)
    assert file is not None
    trial.gates += speed_gates(trial, file.stat().st_size, settings.gates)
    if any(gate.verdict == "inconclusive" for gate in trial.gates):
        run.cache.drop(profiled.key)  # so that the next run measures it again


def _artefact(
    run: _Run,
    candidate: Candidate,
    made: dict[tuple[Any, ...], _Done | str],
    shared: dict[str, Any],
    reference: _Done,
) -> _Done | str:
    """The candidate's graph, or why a step has nothing to do in it or cannot do it."""
    for count in range(1, len(candidate.steps) + 1):
        steps, last = candidate.steps[:count], candidate.steps[count - 1]
        if steps in made:
            continue
        before = made[steps[:-1]]
        if isinstance(before, str):
            made[steps] = before
            continue
        reason = last.unavailable() or cannot(last, before.path)
        if reason:
            made[steps] = f"{last.kind}: {reason}"
            continue
        task = {
            "task": "step",
            "kind": last.kind,
            "parameters": last.model_dump(mode="json"),
            **shared,
            "artefact": str(before.path),
        }
        if last.shaped:
            task["batch_sizes"] = list(run.settings.target.batch_sizes)
        keys = [before.key, reference.key]
        if last.learns:
            lessons = _lessons(run, shared, reference)
            task |= {
                "lessons": str(lessons.path),
                "output": run.settings.output,
                "metrics": list(run.settings.metrics),
            }
            keys.append(lessons.key)
        try:
            made[steps] = run.do(last.label(), task, *keys, key_also=last.target_key() or None)
        except OptimizeError as error:
            if error.__class__ is not OptimizeError or "disk" in error.problem:
                raise
            made[steps] = str(error)
    return made[candidate.steps]


def _distilled(candidate: Candidate, made: dict[tuple[Any, ...], _Done | str]) -> dict[str, Any]:
    """How its student was trained, if it has one."""
    for count, step in enumerate(candidate.steps, start=1):
        student = made[candidate.steps[:count]]
        if step.learns and isinstance(student, _Done):
            found: dict[str, Any] = json.loads((student.path / RESULT).read_text())
            return found
    return {}


def _lessons(run: _Run, shared: dict[str, Any], reference: _Done) -> _Done:
    """What the original answers to the rows that students learn from; asked once for all."""
    task = {"task": "teach", "data": run.settings.data.model_dump(), **shared}
    return run.do("teach", task, reference.key)


def _unrounded(candidate: Candidate, made: Mapping[tuple[Any, ...], _Done | str]) -> str | None:
    """The graph before the first step that rounds, if one does."""
    for count, step in enumerate(candidate.steps):
        if step.rounds:
            before = made[candidate.steps[:count]]
            return str(before.path / MODEL) if isinstance(before, _Done) else None
    return None


def _sensitivities(
    candidate: Candidate, made: Mapping[tuple[Any, ...], _Done | str]
) -> list[dict[str, Any]]:
    """What each layer suffers from being quantised, if a step measured it."""
    for count in range(1, len(candidate.steps) + 1):
        step = made[candidate.steps[:count]]
        if isinstance(step, _Done) and (step.path / SENSITIVITY).exists():
            found: list[dict[str, Any]] = json.loads((step.path / SENSITIVITY).read_text())
            return found
    return []


def _publish(
    run: _Run,
    chosen: Trial,
    trials: list[Trial],
    made: dict[tuple[Any, ...], _Done | str],
    shared: dict[str, Any],
    reference: _Done,
    report: dict[str, Any],
    report_folder: Path,
    sources: list[Path],
) -> Outcome:
    artefact = made[chosen.candidate.steps]
    assert isinstance(artefact, _Done)
    file = served_file(artefact.path)
    assert file is not None
    package_task = {
        "task": "package",
        "threads": chosen.candidate.threads,
        "graph_level": chosen.candidate.graph_level,
        **shared,
        "artefact": str(artefact.path),
    }
    package = run.do("package", package_task, artefact.key, reference.key)
    made_from = digest(package.key, run.settings.model_dump(mode="json"), run.hardware)
    known = version_made_by(run.folder, made_from)
    report["chosen"] = chosen.candidate.name
    if known is not None:
        return Outcome(0, known, report, known / "report", unchanged=True)
    what = Chosen(
        chosen,
        file,
        package.path,
        reference.path,
        run.hardware,
        made_from,
        _lineage(run, chosen, sources, report["export"]),
    )

    def replay(staging: Path) -> None:
        with run.progress.step("replay in a fresh process"):
            key = digest("replay", made_from, str(staging))
            task = {**run.base, "task": "replay", "package": str(staging)}
            run_step(run.cache, key, "replay", task, run.settings.limits)
            run.cache.drop(key)

    try:
        version = publish(run.folder, what, report, replay, run.settings.gates)
    except OSError as error:
        raise OptimizeError(
            step="package",
            problem=f"the next version cannot be written: {error.strerror or error}",
            remedy=f"make room in {run.folder}, writable, and run again: finished steps are kept",
        ) from error
    _write_report(report_folder, report)
    return Outcome(0, version, report, version / "report")


def _lineage(
    run: _Run, chosen: Trial, sources: list[Path], export: dict[str, Any]
) -> dict[str, Any]:
    return {
        "source": run.settings.source,
        "source_files": {path.name: files_digest([path]) for path in sources},
        "data": run.settings.data.model_dump(),
        "code_commit": _commit(run.folder),
        "libraries": run.libraries,
        "steps": [
            {"name": "export", "parameters": export},
            *(
                {"name": step.kind, "parameters": step.model_dump(mode="json")}
                for step in chosen.candidate.steps
            ),
        ],
        **({"distil": chosen.distil} if chosen.distil else {}),
    }


def _variable(config: ModelConfig) -> dict[str, list[int]]:
    """The dimensions beside the batch that model.yaml says differ from row to row, by input."""
    return {
        name: [place for place, size in enumerate(each.shape) if size == -1 and place]
        for name, each in config.inputs.items()
        if each.shape
    }


def _baseline(export: _Done, made: Mapping[tuple[Any, ...], _Done | str]) -> _Done:
    """What candidates are measured beside: the export, or else what was first made of it."""
    several = [export, *(each for each in made.values() if isinstance(each, _Done))]
    return next(each for each in several if served_file(each.path) is not None)


def _commit(folder: Path) -> str | None:
    """The commit of the repository that the model's code is in, if it is in one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def _source_files(run: _Run) -> list[Path]:
    """The files that decide what the model and its data are."""
    own = [path for path in run.folder.iterdir() if path.is_file() and path.name not in UNREAD]
    named = [
        run.folder / name
        for name in (
            run.settings.source,
            run.settings.data.evaluation,
            run.settings.data.training,
            run.settings.data.transfer,
            *run.settings.depends,
        )
        if name is not None
    ]
    files = {path.resolve(): None for path in own if not path.name.startswith(".")}
    for path in named:
        if ".py:" not in path.name and path.is_file():
            files[path.resolve()] = None
    return sorted(files)


UNREAD = ("README.md", "model.yaml", "request.json")
"""Files of a model's folder that neither the model nor its data come from."""

Replay = Callable[[Path], None]


def _gate(data: dict[str, Any]) -> Gate:
    numbers = {name: float(data[name]) for name in ("limit", "value", "bound") if name in data}
    return Gate(data["name"], data["verdict"], **numbers, detail=data.get("detail", ""))


def _write_report(folder: Path, report: dict[str, Any]) -> None:
    from optimize.report.page import write_report

    write_report(folder, report)
