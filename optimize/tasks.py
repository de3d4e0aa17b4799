"""What the steps' processes do, by the name in ``task.json``; results are files in ``output``."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optimize.artefact import served_file
from optimize.asked import EDGES, EVALUATION, SIGNATURE, read_asked, write_asked
from optimize.errors import OptimizeError
from optimize.rows import Input
from optimize.settings import Gates
from optimize.sidecar import carry_sidecars, graph_inputs, write_tokenizer
from optimize.source.network import Network
from optimize.steps import STEPS
from optimize.steps.base import EXPORT, MODEL, PROGRAM, Context, Teaching, op_counts
from serve.repository.golden import read_golden, write_golden
from serve.tensors import Array

__all__ = ["TASKS", "Task", "export_model"]

Task = Callable[[dict[str, Any], Path], None]

TRIED_ROWS = 512
"""Real rows from which edge rows are made, and that speed is measured on."""


def source(task: dict[str, Any], output: Path) -> None:
    """Load the trained model and the rows; kept in the cache for the steps that ask it."""
    from optimize.source.load import load_data, load_model

    folder = Path(task["folder"])
    model = load_model(folder, task["source"], task["outputs"], task["variable"])
    features, target = load_data(folder, task["evaluation"], task["target"])
    if len(target) == 0:
        raise OptimizeError(
            step="source", problem="the evaluation set is empty", remedy="give it rows"
        )
    try:
        (output / "source.pkl").write_bytes(pickle.dumps((model, features, target)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise OptimizeError(
            step="source",
            problem=f"the model cannot be handed to the next step: {error}",
            remedy="define its classes and functions at the top of a file in the model's folder,"
            " and use no lambda",
        ) from error


def export(task: dict[str, Any], output: Path) -> None:
    """The trained model as one graph, with its preprocessing."""
    model, features, _ = _loaded(task)
    export_model(model, features, output)


def registered(task: dict[str, Any], output: Path) -> None:
    """The same of a model out of MLflow's registry, with its signature and golden samples."""
    from optimize.registered import export_registered

    export_registered(Path(task["folder"]), task["flavour"], output)


def export_model(model: Any, features: Any, output: Path) -> None:
    """The graph of a model in ``output``; ``features`` are rows that it takes."""
    from optimize.convert.trained import convert
    from optimize.source.original import own_graph
    from optimize.source.table import inputs_of

    if isinstance(model, Network):
        _export_network(model, features, output)
        return
    graph = own_graph(model)
    if graph is None:
        graph = convert(model, inputs_of(model, features))
    (output / MODEL).write_bytes(graph)
    _describe(output)


def _export_network(model: Network, features: Any, output: Path) -> None:
    """``program.pt2``, and ``model.onnx`` unless ``export.json`` says why there is none."""
    from optimize.convert.program import program_signature
    from optimize.convert.torch_module import (
        NoOnnx,
        export_program,
        output_names,
        save_program,
        write_onnx,
    )

    program = export_program(model, features)
    save_program(program, output / PROGRAM)
    if model.text is not None:
        text = model.text
        write_tokenizer(output, text.tokenizer, text.name, text.max_length)
    made: dict[str, Any] = {"exporter": "torch.export"}
    try:
        signature = program_signature(program, output_names(model, program))
        made["signature"] = signature.model_dump(mode="json")
    except OptimizeError as error:
        made["no_program"] = error.problem
    try:
        made["opset"] = write_onnx(model, program, output / MODEL)
    except NoOnnx as error:
        made["no_onnx"] = str(error)
    _describe(output)
    (output / EXPORT).write_text(json.dumps(made))


def reference(task: dict[str, Any], output: Path) -> None:
    """What the original answers to the evaluation rows and to edge rows."""
    from optimize.source.reference import make_reference

    model, features, target = _loaded(task)
    made = make_reference(
        model,
        features,
        target,
        Path(task["export"]) / MODEL,
        task["defaults"],
        {name: tuple(ends) for name, ends in task["ranges"].items()},
        task["boundary_ulps"],
    )
    inputs = [spec.as_json() for spec in made.signature]
    write_asked(output, made, {"inputs": inputs, "refused": made.refused})


def teach(task: dict[str, Any], output: Path) -> None:
    """What the original answers to the rows that students learn from."""
    from optimize.distil.teach import teach as ask

    model, features, _ = _loaded(task)
    graph, folder = Path(task["export"]) / MODEL, Path(task["folder"])
    ask(model, features, graph, task["defaults"], folder, task["data"], output)


def step(task: dict[str, Any], output: Path) -> None:
    """One step of the pipeline."""
    inputs, answers = read_golden(Path(task["reference"]) / EVALUATION)
    made = STEPS[task["kind"]].model_validate(task["parameters"])
    teaching = None
    if "lessons" in task:
        teaching = Teaching(
            Path(task["folder"]),
            Path(task["export"]),
            Path(task["reference"]),
            Path(task["lessons"]),
            _judged(task["output"], answers),
            task["metrics"],
            lambda: _custom(task),
            lambda: _loaded(task)[0],
        )
    before = Path(task["artefact"])
    # A program that is not compiled yet has no inputs to be asked for.
    calibration = graph_inputs(before / MODEL, inputs) if made.takes == MODEL else inputs
    context = Context(calibration, teaching, tuple(task.get("batch_sizes", ())))
    made.run(before / made.takes, output / made.makes, context)
    carry_sidecars(before, output)
    _describe(output)


def verify(task: dict[str, Any], output: Path) -> None:
    """Ask a candidate everything that the original was asked."""
    from optimize.verify.check import Question
    from optimize.verify.check import verify as ask

    asked = read_asked(Path(task["reference"]))
    judged = _judged(task["output"], asked.answers)
    question = Question(**vars(asked), output=judged, metrics=task["metrics"], custom=_custom(task))
    limits = Gates.model_validate(task["gates"])
    unrounded = Path(task["unrounded"]) if task["unrounded"] else None
    found = ask(
        _served(task["artefact"]),
        task["lossy"],
        question,
        limits,
        unrounded,
        task["graph_level"],
    )
    result = {
        "gates": [gate.as_json() for gate in found.gates],
        "metrics": found.metrics,
        "errors": found.errors,
    }
    (output / "result.json").write_text(json.dumps(result, default=str))


def profile(task: dict[str, Any], output: Path) -> None:
    """Measure a candidate beside the export and the original."""
    from optimize.profile.buckets import buckets_of, row_lengths, varying_inputs
    from optimize.profile.candidate import profile_candidate
    from optimize.profile.original import OriginalCalls
    from optimize.session import ServedModel
    from optimize.source.reference import served_inputs

    inputs, _ = read_golden(Path(task["reference"]) / EVALUATION)
    few = {name: array[: max(TRIED_ROWS, *task["batch_sizes"])] for name, array in inputs.items()}
    model, features, _ = _loaded(task)
    baseline, artefact = _served(task["baseline"]), _served(task["artefact"])
    with ServedModel(baseline) as served:
        varying = varying_inputs(served.signature)
    # A text is as long as its tokens, which the graph takes in its place.
    taken = graph_inputs(baseline, few)
    lengths = row_lengths(taken, varying or [name for name in taken if name not in few])
    rows = len(next(iter(few.values())))
    found = profile_candidate(
        lambda: ServedModel(artefact, task["threads"], task["graph_level"]),
        sum(file.stat().st_size for file in artefact.parent.glob("model.*")),
        lambda: ServedModel(baseline),
        few,
        task["batch_sizes"],
        buckets_of(rows, lengths, task["lengths"], varying),
        OriginalCalls(model, served_inputs(model, features, baseline, task["defaults"]), features),
    )
    (output / "result.json").write_text(json.dumps({"threads": task["threads"], **found}))


def package(task: dict[str, Any], output: Path) -> None:
    """Golden samples and reference statistics of the chosen candidate."""
    from optimize.drift import reference_statistics
    from optimize.replay import moved_by_neighbours
    from optimize.session import ServedModel

    inputs, _ = read_golden(Path(task["reference"]) / EVALUATION)
    edges, _ = read_golden(Path(task["reference"]) / EDGES)
    document = json.loads((Path(task["reference"]) / SIGNATURE).read_text())
    artefact = _served(task["artefact"])
    with ServedModel(artefact, task["threads"], task["graph_level"]) as model:
        answers = model.answer(inputs)
        samples = _samples(inputs, edges)
        golden = model.answer(samples, batch_rows=len(next(iter(samples.values()))))
        moved = moved_by_neighbours(model.answer(samples, batch_rows=1), golden)
        outputs = [
            {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
            for spec in model.signature.outputs
        ]
    write_golden(output / "golden.npz", samples, golden)
    specs = [
        Input(each["name"], each["datatype"], tuple(each["shape"]), each["missing"])
        for each in document["inputs"]
    ]
    statistics = reference_statistics(specs, inputs, answers)
    (output / "drift.json").write_text(json.dumps(statistics, indent=1))
    (output / "outputs.json").write_text(json.dumps(outputs))
    (output / "golden.json").write_text(json.dumps({"moved": moved}))


def replay(task: dict[str, Any], output: Path) -> None:
    """Load a finished package as the server will, and ask its golden samples again."""
    from optimize.replay import replay_package

    replay_package(Path(task["package"]))
    (output / "result.json").write_text("{}")


def _samples(inputs: Mapping[str, Array], edges: Mapping[str, Array]) -> dict[str, Array]:
    """Thirty-two real rows and up to thirty-two edge rows."""
    return {
        name: np.concatenate([array[:32], edges[name][:32]]) if edges else array[:32]
        for name, array in inputs.items()
    }


def _custom(task: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """The metrics that are functions of the user."""
    from optimize.source.load import function_at

    return {
        name: function_at(Path(task["folder"]), name, "verify")
        for name in task["metrics"]
        if ".py:" in name
    }


def _judged(output: str | None, answers: Mapping[str, Array]) -> str:
    """The output that the metrics judge."""
    if output is not None and output not in answers:
        raise OptimizeError(
            step="verify",
            problem=f"optimize.output: there is no output {output!r}",
            remedy=f"the outputs are: {', '.join(answers)}",
        )
    floats = [name for name, array in answers.items() if array.dtype.kind == "f"]
    return output or (floats or list(answers))[0]


def _loaded(task: Mapping[str, Any]) -> tuple[Any, Any, Array]:
    from optimize.source.load import function_at, on_path

    folder = Path(task["folder"])
    on_path(folder)
    for reference in task["references"]:  # the modules that the pickle names
        if ".py:" in reference:
            function_at(folder, reference, "source")
    # The cache's own file, written by the step before this one.
    loaded: tuple[Any, Any, Array] = pickle.loads(  # noqa: S301
        (Path(task["source_result"]) / "source.pkl").read_bytes()
    )
    return loaded


def _served(folder: str) -> Path:
    path = served_file(Path(folder))
    assert path is not None, f"{folder} has nothing that can be served"
    return path


def _describe(output: Path) -> None:
    """Which operators there are, as far as there is a graph."""
    ops = op_counts(output / MODEL) if (output / MODEL).is_file() else {}
    (output / "ops.json").write_text(json.dumps(ops))


TASKS: dict[str, Task] = {
    each.__name__: each
    for each in (
        *(source, export, registered, reference, teach, step),
        *(verify, profile, package, replay),
    )
}
