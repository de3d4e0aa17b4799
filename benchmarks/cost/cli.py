"""``penstock bench cost``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cost import page, words
from benchmarks.cost.model import Cost, cost_of
from benchmarks.cost.spec import PRICES, Prices
from benchmarks.cost.throughput import Throughput, from_last_result, from_result, given
from benchmarks.yaml_file import override, read_mapping, validated

__all__ = ["cost"]


def cost(
    result: Annotated[
        Path | None,
        typer.Argument(
            help="A result.json of `penstock bench`. Default: the last one with a throughput.",
            metavar="[RESULT]",
        ),
    ] = None,
    qps: Annotated[
        float | None, typer.Option(help="Predictions a second a machine, in place of a result.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="The scenario of the result to take.")
    ] = None,
    prices: Annotated[Path, typer.Option(help="Price file; every assumption a line.")] = PRICES,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a line of it.")
    ] = [],  # noqa: B006 - typer copies it
    html: Annotated[Path | None, typer.Option(help="Write the page with its plots here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Turn throughput at the SLO into machines, dollars a million predictions and a month."""
    if result is not None and qps is not None:
        raise ValueError("give a result.json or --qps, not both")
    if scenario is not None and result is None:
        raise ValueError("--scenario is one of a result.json: name that too")
    data = override(read_mapping(prices), settings)
    assumed = validated(Prices, data, prices)
    throughput = _throughput(result, qps, scenario)
    costs = [cost_of(throughput.qps, instance, assumed) for instance in assumed.instances]
    if html is not None:
        html.write_text(page.render(costs, throughput, assumed))
    if as_json:
        typer.echo(_json(costs, throughput, assumed))
        return
    console = Console()
    console.print(words.verdict(costs, assumed), style="bold", highlight=False)
    head, *body = words.rows(costs)
    table = Table(*head, box=None, padding=(0, 2, 0, 0))
    for row in body:
        table.add_row(*row)
    console.print(table)
    for name, text in words.assumptions(throughput, assumed):
        console.print(f"  {name}: {text}", style="dim", markup=False, highlight=False)


def _throughput(result: Path | None, qps: float | None, scenario: str | None) -> Throughput:
    if qps is not None:
        return given(qps)
    return from_last_result() if result is None else from_result(result, scenario)


def _json(costs: list[Cost], throughput: Throughput, prices: Prices) -> str:
    document = {
        "throughput": msgspec.to_builtins(throughput),
        "costs": msgspec.to_builtins(costs),
        "assumptions": prices.model_dump(mode="json", by_alias=True),
    }
    return json.dumps(document, indent=2)
