"""The comparison as Markdown."""

from __future__ import annotations

import math
import statistics

from benchmarks.peers.results import Results
from benchmarks.peers.summary import Ahead, Line, ahead, lines

__all__ = ["render"]

NOISY_SHARE = 0.1
REASON_CHARACTERS = 160


def render(results: Results) -> str:
    """The whole section: how it was measured, a table a model, and who is ahead of Penstock."""
    parts = [_facts(results)]
    for model in dict.fromkeys(visit.model for visit in results.visits):
        parts.append(_model(results, model))
    return "\n\n".join(parts) + "\n"


def _facts(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{peer} {version}" for peer, version in results.versions.items())
    settings = results.settings
    text = [
        f"Measured {results.date} on {machine['cores']} cores of {machine['cpu']},"
        f" {machine['memory_gib']} GiB, Linux {machine['kernel']}; Penstock at {results.commit};"
        f" {versions}.",
        f"Command: `{results.command}` ({settings['rounds']} rounds, closed loops of"
        f" {settings['closed_s']:g} s, open loops of {settings['open_s']:g} s,"
        f" seed {settings['seed']}).",
    ]
    if not results.complete:
        text.append("**Partial: the run was ended before all visits had taken place.**")
    return "\n\n".join(text)


def _model(results: Results, model: str) -> str:
    found = lines(results, model)
    loads = _loads(found)
    head = ["", *(_heading(name) for name in loads), "memory MiB", "start s"]
    rows = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    rows += [_row(line, loads) for line in found]
    notes = [
        "Medians over the rounds. Closed loop: good answers a second / p99 ms / CPU µs an answer."
        " Open loop: p99 ms from the intended send time.",
        *_noise(found),
        *_failures(found),
        *_doubts(found, loads),
    ]
    return "\n\n".join(
        [f"### `{model}`", "\n".join(rows), *notes, _ahead_text(ahead(found, loads), found)]
    )


def _loads(found: list[Line]) -> list[str]:
    return list(
        dict.fromkeys(
            loaded.load for line in found for visit in line.visits for loaded in visit.loads
        )
    )


def _heading(load: str) -> str:
    kind, _, size = load.partition("-")
    return f"{size} connections" if kind == "closed" else f"{size} requests/s"


def _row(line: Line, loads: list[str]) -> str:
    name = f"**{line.row.peer}** {line.row.row}: {line.row.what}"
    if line.failure:
        cells = ["failed", *[""] * (len(loads) + 1)]
    else:
        cells = [_cell(line, load) for load in loads]
        cells += [f"{line.memory_mib:,.0f}", f"{line.start_s:.1f}"]
    return f"| {name} | {' | '.join(cells)} |"


def _cell(line: Line, load: str) -> str:
    rate = line.median(load, lambda loaded: loaded.ok_per_s)
    p99_ms = line.median(load, lambda loaded: loaded.p99_ms)
    if math.isnan(rate):
        return "not reached"
    doubt = " †" if _doubted(line, load) else ""
    if load.startswith("open"):
        kept = "" if line.kept(load) else "not kept: "
        return f"{kept}{p99_ms:,.1f}{doubt}"
    cpu_us = line.median(load, lambda loaded: loaded.cpu_us)
    refused = sum(loaded.not_ok for loaded in line.loaded(load))
    mark = f" ({refused:,} not answered well)" if refused else ""
    return f"{rate:,.0f} / {p99_ms:,.1f} / {cpu_us:,.0f}{mark}{doubt}"


def _noise(found: list[Line]) -> list[str]:
    shares = [
        loaded.foreign_share for line in found for visit in line.visits for loaded in visit.loads
    ]
    if not shares or (share := statistics.median(shares)) < NOISY_SHARE:
        return []
    return [
        f"Others used {share:.0%} of the machine meanwhile: trust CPU per answer and the order of"
        " magnitude, not single rates."
    ]


def _failures(found: list[Line]) -> list[str]:
    texts = []
    for line in found:
        reasons = [visit.failure for visit in line.visits if visit.failure]
        if reasons:
            count = f"{len(reasons)} of {len(line.visits)} visits failed"
            reason = " ".join(reasons[-1].split()).replace("|", "\\|")[:REASON_CHARACTERS]
            texts.append(f"- {line.row.name}: {count}: {reason}")
    return ["\n".join(texts)] if texts else []


def _doubted(line: Line, load: str) -> bool:
    return any(loaded.doubts for loaded in line.loaded(load))


def _doubts(found: list[Line], loads: list[str]) -> list[str]:
    if not any(_doubted(line, load) for line in found for load in loads if not line.failure):
        return []
    return [
        "† In a round of these the generator was late itself, or requests were too few for a p99:"
        " an upper bound at best. The reasons are in `peers.json`."
    ]


def _ahead_text(better: list[Ahead], found: list[Line]) -> str:
    if not any(line.row.peer == "penstock" and not line.failure for line in found):
        return "Penstock was not measured, so nothing is said about who is ahead."
    if not better:
        return "No peer is ahead of Penstock in any of these figures."
    text = [
        f"- {one.row}: {one.what} {one.theirs:,.1f}, Penstock {one.ours:,.1f}" for one in better
    ]
    return "\n".join(["**Where a peer is ahead of Penstock:**", "", *text])
