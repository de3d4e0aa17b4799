"""wrk, another closed-loop generator: the outside check of our own."""

from __future__ import annotations

import math
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from benchmarks.loadgen import histogram
from benchmarks.loadgen.spec import (
    ClosedLoop,
    Health,
    Latency,
    LoadReport,
    LoadSpec,
    PhaseReport,
)
from benchmarks.payloads import Payload

__all__ = ["WrkError", "available", "parse", "run", "script", "takes"]

_LINE = re.compile(r"^penstock (.+)$", re.MULTILINE)
# wrk prints two digits; what it counted is handed to this function in full.
_DONE = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "penstock requests=%d duration_us=%d connect=%d read=%d write=%d status=%d timeout=%d",
    summary.requests, summary.duration, errors.connect, errors.read, errors.write,
    errors.status, errors.timeout))
  io.write(string.format(" p50=%d p90=%d p99=%d p999=%d max=%d\\n",
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency:percentile(99.9), latency.max))
end
"""


class WrkError(RuntimeError):
    """wrk failed, or printed what we do not understand; carries its words."""


def available() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def takes(spec: LoadSpec) -> bool:
    """Whether wrk is to drive this load.

    Raises:
        WrkError: it is asked for by name, and is not installed or cannot.
    """
    if not isinstance(spec.load, ClosedLoop) or spec.load.tool == "own":
        return False
    able = spec.target.protocol == "http" and len(spec.payloads) == 1 and not spec.expected
    if spec.load.tool == "wrk" and not (able and available()):
        raise WrkError(
            "wrk is not installed"
            if able
            else "wrk drives HTTP with one payload only, and reads no answers"
        )
    return able and available()


def script(payload: Payload, body_file: Path) -> str:
    """The Lua that makes wrk send ``payload``; its request is formatted once, at the start."""
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in payload.headers)
    return (
        f'wrk.method = "POST"\n{headers}'
        f'local file = io.open("{body_file}", "rb")\n'
        f'wrk.body = file:read("*a")\nfile:close()\n{_DONE}'
    )


def run(spec: LoadSpec, load: ClosedLoop) -> LoadReport:
    """Load a server with whole seconds; a thread for each process asked for.

    Raises:
        WrkError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-wrk-") as folder:
        phases = []
        if load.warmup_s > 0:
            warmup = parse(_wrk(spec, Path(folder), load.warmup_s))
            phases.append(msgspec.structs.replace(warmup, name="warmup", measured=False))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = _wrk(spec, Path(folder), load.duration_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    phase = parse(text)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return LoadReport(
        tool="wrk",
        phases=(*phases, phase),
        total=phase,
        health=Health(
            cpu_share=cpu_s / spec.processes / phase.duration_s,
            scheduled_per_s=phase.offered / phase.duration_s,
            achieved_per_s=phase.offered / phase.duration_s,
        ),
    )


def parse(text: str) -> PhaseReport:
    """What the script above printed. wrk keeps no histogram, and does not know the SLO.

    Raises:
        WrkError: it printed nothing.
    """
    line = _LINE.search(text)
    if line is None:
        raise WrkError(f"wrk reported nothing: {text.strip()[-500:]}")
    seen = {key: int(value) for key, value in (pair.split("=") for pair in line[1].split())}
    # wrk counts only what was answered; what was not is neither here nor there otherwise.
    lost = seen["connect"] + seen["read"] + seen["write"] + seen["timeout"]
    ok = seen["requests"] - seen["status"]
    return PhaseReport(
        name="closed",
        duration_s=seen["duration_us"] / 1e6,
        offered=seen["requests"] + lost,
        ok=ok,
        good=ok,
        refused=0,
        failed=seen["status"] + lost,
        statuses={"2xx": ok, "other": seen["status"], "lost": lost},
        latency_ms=Latency(*(seen[key] / 1e3 for key in ("p50", "p90", "p99", "p999", "max"))),
        histogram=histogram.merge(()),
    )


def _wrk(spec: LoadSpec, folder: Path, duration_s: float) -> str:
    (payload,), target = spec.payloads, spec.target
    body_file, lua = folder / "body", folder / "script.lua"
    body_file.write_bytes(payload.body)
    lua.write_text(script(payload, body_file))
    done = subprocess.run(
        [
            *("wrk", f"-t{spec.processes}", f"-c{spec.connections}", "--timeout", "10s"),
            *(f"-d{math.ceil(duration_s)}s", "-s", str(lua)),
            f"http://{target.host}:{target.port}{payload.path}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WrkError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
