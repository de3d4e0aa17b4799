"""``junit.xml``: a test case for each gate, for CI systems that show those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from benchmarks.gates.outcome import RunResult, ScenarioOutcome
from benchmarks.gates.verdict import Verdict

__all__ = ["render"]

ELEMENTS = {
    Verdict.FAIL: "failure",
    Verdict.INCONCLUSIVE: "failure",
    Verdict.ERROR: "error",
    Verdict.INVALID: "error",
    Verdict.UNSUPPORTED: "error",
}
"""Whatever is no pass is red where it counts; else it is skipped."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Case = tuple[str, Verdict, str]


def render(result: RunResult) -> bytes:
    """One test suite; scenarios are its classes."""
    suite = ElementTree.Element("testsuite", name=f"penstock bench {result.name}")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    number = 0
    for outcome in result.scenarios:
        for name, verdict, reason in _cases(outcome):
            number += 1
            seconds = outcome.measurement.duration_s if outcome.measurement else 0.0
            case = ElementTree.SubElement(
                suite, "testcase", classname=outcome.name, name=name, time=f"{seconds:.3f}"
            )
            if verdict is Verdict.PASS:
                continue
            kind = ELEMENTS.get(verdict, "skipped") if outcome.counts else "skipped"
            counts[kind] += 1
            message = NOT_XML.sub("?", reason)
            element = ElementTree.SubElement(case, kind, message=f"{verdict}: {message}")
            if kind != "skipped":
                element.set("type", str(verdict))
    suite.set("tests", str(number))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("time", f"{result.duration_s:.3f}")
    suite.set("timestamp", result.provenance.started)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def _cases(outcome: ScenarioOutcome) -> Iterator[Case]:
    if outcome.findings:
        for found in outcome.findings:
            yield found.text, found.verdict, found.reason
    else:
        error = outcome.last.error if outcome.last else ""
        yield outcome.scenario, outcome.verdict, outcome.reason or error
