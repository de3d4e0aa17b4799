"""``penstock bench``: run a gate file, list and write them; ``cost`` and ``autoscaling``.

Exit codes: 0 pass, 1 fail, 2 error, 3 invalid or unsupported, 4 inconclusive, 130 interrupted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.autoscaling.cli import autoscaling
from benchmarks.cost.cli import cost
from benchmarks.gates import files
from benchmarks.gates.outcome import RunResult, encode
from benchmarks.gates.plan import Plan, plan
from benchmarks.gates.session import run_gate
from benchmarks.gates.spec import GateFile
from benchmarks.interrupts import interruptible, uninterrupted
from benchmarks.progress import make_progress
from benchmarks.report import folder, terminal
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.yaml_file import YamlFileError

__all__ = ["main"]

EPILOG = (
    "Example: penstock bench smoke. Exit codes: 0 pass, 1 fail, 2 error, 3 invalid, 4"
    " inconclusive, 130 interrupted. What the result costs in money: penstock bench cost --help."
    " How replicas would follow a load: penstock bench autoscaling --help."
)
run_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
cost_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
cost_app.command(
    epilog="Example: penstock bench cost benchmarks/results/release/result.json"
    " --set target_per_s=20000"
)(cost)
autoscaling_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
autoscaling_app.command(
    epilog="Example: penstock bench autoscaling models/fraud --trace burst --peak 50000"
    " --set autoscaling.max_replicas=8 --html scaling.html"
)(autoscaling)
TOOLS = {"cost": cost_app, "autoscaling": autoscaling_app}
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the gate file.")
]
Address = Annotated[str | None, typer.Option(help="Of a server that runs already.")]


@run_app.command(epilog=EPILOG)
def bench(
    gate: Annotated[
        str | None,
        typer.Argument(metavar="[GATE]", help="A gate file, or the name of one that is shipped."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where results go. Default: benchmarks/results/NAME.")
    ] = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    url: Address = None,
    grpc_url: Address = None,
    admin_url: Address = None,
    pid: Annotated[int | None, typer.Option(help="Its process, for CPU and memory.")] = None,
    only: Annotated[
        list[str], typer.Option(metavar="SCENARIO", help="Run this one; may be repeated.")
    ] = [],  # noqa: B006
    no_baseline: Annotated[
        bool, typer.Option("--no-baseline", help="Do not judge ratios to a baseline.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and how long it takes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    list_all: Annotated[
        bool, typer.Option("--list", help="List shipped gate files and scenarios.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of gate files.")
    ] = False,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an annotated gate file.")
    ] = None,
) -> None:
    """Measure a server, judge it by a gate file, and say ship or do not ship."""
    if list_all:
        _list(as_json)
    elif schema:
        typer.echo(json.dumps(GateFile.model_json_schema(by_alias=True), indent=2))
    elif init is not None:
        _init(init)
    elif gate is None:
        raise YamlFileError(
            "name a gate file: `penstock bench smoke`, or see `penstock bench --list`"
        )
    else:
        given = {"url": url, "grpc_url": grpc_url, "admin_url": admin_url, "pid": pid}
        loaded = files.load(gate, settings, server=given, only=only)
        if dry_run:
            _show_plan(plan(loaded.spec), as_json)
            return
        notes = (f"only {', '.join(only)}",) if only else ()
        result = _run(loaded, out, as_json, with_baseline=not no_baseline, notes=notes)
        raise typer.Exit(result.exit_code)


def _run(
    loaded: files.LoadedGate,
    out: Path | None,
    as_json: bool,
    *,
    with_baseline: bool,
    notes: tuple[str, ...],
) -> RunResult:
    results = Path("benchmarks/results" if Path("benchmarks").is_dir() else "bench-results")
    place = out or results / loaded.spec.name
    errors = Console(stderr=True)
    with interruptible(), make_progress(errors) as progress:
        result = run_gate(
            loaded,
            progress=progress,
            save=lambda partial: void(folder.save_result(partial, place)),
            with_baseline=with_baseline,
            notes=notes,
        )
        with uninterrupted():
            progress.update("writing the report", None)
            written = folder.write_all(result, place)
    if as_json:
        typer.echo(encode(result), nl=False)
    else:
        Console().print(terminal.render(result))
    errors.print(f"report: {written[1]}", highlight=False, soft_wrap=True)
    return result


def void(_: object) -> None:
    """Nothing, of anything."""


def _list(as_json: bool) -> None:
    gates = {name: files.load(name).spec.description for name in files.shipped()}
    scenarios = {
        name: " ".join(one.about.split("\n\n")[0].split()) for name, one in SCENARIOS.items()
    }
    if as_json:
        typer.echo(json.dumps({"gates": gates, "scenarios": scenarios}, indent=2))
        return
    console = Console()
    for title, rows in (("gate file", gates), ("scenario", scenarios)):
        table = Table(box=None, padding=(0, 2, 1, 0))
        table.add_column(title, style="bold", no_wrap=True)
        table.add_column("what it is for" if rows is gates else "what it measures")
        for row in rows.items():
            table.add_row(*row)
        console.print(table)


def _show_plan(planned: Plan, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(planned), indent=2))
    else:
        Console().print(terminal.render_plan(planned))


def _init(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} is there already: name another file")
    shutil.copyfile(files.EXAMPLE, path)
    typer.echo(f"wrote {path}: set `model` and the SLO in it, then `penstock bench {path}`")


def main(arguments: Sequence[str]) -> None:
    """Run ``penstock bench`` with what follows it on the command line; ends with SystemExit."""
    if arguments and (tool := TOOLS.get(arguments[0])) is not None:
        tool(list(arguments[1:]), prog_name=f"penstock bench {arguments[0]}")
    run_app(list(arguments), prog_name="penstock bench")
