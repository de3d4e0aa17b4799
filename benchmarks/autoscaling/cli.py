"""``penstock bench autoscaling``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.autoscaling import page, words
from benchmarks.autoscaling.capacity import Capacity, given, of_profile
from benchmarks.autoscaling.outcome import Machines
from benchmarks.autoscaling.run import Run
from benchmarks.autoscaling.trace import SHAPES, Trace, made, read_csv
from benchmarks.cost.spec import PRICES, Instance, Prices
from benchmarks.yaml_file import override, read_mapping, validated
from serve.config import ModelConfig

__all__ = ["autoscaling"]

PEAK_REPLICAS = 4
"""A load that is made up needs so many at its peak, unless --peak says what that is."""
BASE_SHARE = 0.1


def autoscaling(
    model: Annotated[Path, typer.Argument(help="A model's folder, or its model.yaml.")],
    load: Annotated[
        str, typer.Option("--trace", help="steady, daily, burst, or a CSV of seconds,per_s lines.")
    ] = "daily",
    peak: Annotated[
        float | None, typer.Option(help="Highest rate of a made-up load, predictions a second.")
    ] = None,
    base: Annotated[
        float | None, typer.Option(help="Its lowest rate. Default: a tenth of the peak.")
    ] = None,
    qps: Annotated[
        float | None,
        typer.Option(help="Predictions a second of one replica. Default: the measured profile's."),
    ] = None,
    start: Annotated[
        float, typer.Option(help="Seconds from the decision for a replica to its first answer.")
    ] = 15.0,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a line of model.yaml.")
    ] = [],  # noqa: B006 - typer copies it
    prices: Annotated[Path, typer.Option(help="Price file of `penstock bench cost`.")] = PRICES,
    instance: Annotated[
        str | None, typer.Option(help="Kind of machine of it. Default: the first.")
    ] = None,
    per_machine: Annotated[int, typer.Option(min=1, help="Replicas on one machine.")] = 1,
    html: Annotated[Path | None, typer.Option(help="Write the page with its plots here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Try a model's autoscaling settings on a load: replicas, latency and cost."""
    if not (math.isfinite(start) and 0 <= start <= 3600):
        raise ValueError(f"--start {start:g}: seconds, from 0 to 3600")
    file = model if model.suffix == ".yaml" else model / "model.yaml"
    config = validated(ModelConfig, override(read_mapping(file), settings), file)
    folder = file.resolve().parent
    capacity = given(qps, config) if qps is not None else of_profile(folder, config)
    assumed = validated(Prices, read_mapping(prices), prices)
    run = Run(
        model=folder.name,
        config=config,
        capacity=capacity,
        trace=_trace(load, peak, base, capacity, config),
        start_s=start,
        machines=Machines(_instance(assumed, instance, prices), per_machine),
        prices=assumed,
    )
    if html is not None:
        html.write_text(page.render(run), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(run.as_json(), indent=2))
        return
    _show(run)


def _trace(
    name: str, peak: float | None, base: float | None, capacity: Capacity, config: ModelConfig
) -> Trace:
    if name in SHAPES:
        if peak is None:
            peak = PEAK_REPLICAS * capacity.per_s * config.autoscaling.target_utilisation
        return made(name, peak, peak * BASE_SHARE if base is None else base)
    if peak is not None or base is not None:
        raise ValueError("--peak and --base are of a made-up load: a file has its own rates")
    if "." not in name and not Path(name).exists():
        raise ValueError(f"--trace {name}: there is {', '.join(SHAPES)}, or name a CSV file")
    return read_csv(Path(name))


def _instance(prices: Prices, name: str | None, path: Path) -> Instance:
    for one in prices.instances:
        if name in (None, one.name):
            return one
    names = ", ".join(one.name for one in prices.instances)
    raise ValueError(f"--instance {name}: {path} has {names}")


def _show(run: Run) -> None:
    console = Console()
    console.print(words.verdict(run), style="bold", highlight=False)
    head, *body = words.rows(run)
    table = Table(*head, box=None, padding=(0, 2, 0, 0))
    for row in body:
        table.add_row(*row)
    console.print(table)
    for name, text in words.assumptions(run):
        console.print(f"  {name}: {text}", style="dim", markup=False, highlight=False)
