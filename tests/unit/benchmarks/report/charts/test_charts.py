"""Each chart is well-formed SVG that says in words what it shows, whatever it is given."""

import math
from xml.etree import ElementTree

import pytest

from benchmarks.gates.distribution import Distribution
from benchmarks.gates.findings import Finding
from benchmarks.measurement import CurvePoint, NoiseSample, Slice
from benchmarks.report.charts.batches import batches
from benchmarks.report.charts.cdf import cdf
from benchmarks.report.charts.curve import curve
from benchmarks.report.charts.ratios import ratios
from benchmarks.report.charts.strip import strip
from benchmarks.report.charts.timeline import timeline
from tests.support.measurements import full_measurement, histogram

SVG = "{http://www.w3.org/2000/svg}"
FULL = full_measurement()
EMPTY = Slice(
    start_s=0, offered=0, ok=0, refused=0, failed=0, p50_ms=math.nan, p99_ms=math.nan,
    max_ms=math.nan,
)  # fmt: skip
RATIO = Finding(metric="cpu", text="", limit=1.05, value=1.01, low=0.99, high=1.03)

CHARTS = {
    "cdf": lambda: cdf(Distribution.decode(FULL.histogram), [(0.99, 100.0)]),
    "cdf of one request": lambda: cdf(Distribution.decode(histogram([5.0]))),
    "curve": lambda: curve(FULL.curve, "requests/s offered", 100.0),
    "curve over connections": lambda: curve([CurvePoint(8, 900, 1, 2)], "connections"),
    "curve that spans decades": lambda: curve(
        [CurvePoint(1, 9, 1, 2), CurvePoint(256, 9, 1, 2)], "rows"
    ),
    "curve of nothing": lambda: curve([CurvePoint(1, 0, math.nan, math.nan)], "rows"),
    "timeline": lambda: timeline(FULL.timeline),
    "timeline of one slice": lambda: timeline(FULL.timeline[:1]),
    "timeline without an answer": lambda: timeline([EMPTY]),
    "batches": lambda: batches(FULL.batch_rows),
    "strip": lambda: strip(FULL.noise, 0.1),
    "strip of many": lambda: strip([NoiseSample(float(at), 0.5, 0.5) for at in range(999)], 0.1),
    "strip of nothing known": lambda: strip([NoiseSample(0.0, math.nan, math.nan)], 0.1),
    "ratios": lambda: ratios([(0, 31.0, 30.0), (1, 29.0, 30.0)], RATIO),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_is_svg_with_words(name):
    root = ElementTree.fromstring(
        CHARTS[name]().svg("x").replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    )
    named = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert all(named[ident] for ident in (root.get("aria-labelledby") or "").split())
    drawn = [value for element in root.iter() for value in element.attrib.values()]
    assert not any("nan" in value or "inf" in value for value in drawn)


def test_cdf_says_percentiles_in_words():
    drawn = cdf(Distribution.decode(histogram([1.0] * 99 + [50.0]))).svg("x")
    assert "Of 100 answered requests, half within 1 ms" in drawn


def test_curve_tells_missed_and_invalid_points_without_colour():
    drawn = curve(FULL.curve, "requests/s offered").svg("x")
    assert drawn.count('<path class="mark-bad"') == 1
    assert drawn.count('<circle class="mark-hollow"') == 1


def test_strip_marks_the_seconds_above_the_limit():
    drawn = strip([NoiseSample(1.0, 0.5, 0.1), NoiseSample(2.0, 0.05, 0.1)], 0.1).svg("x")
    assert (drawn.count("bar refused"), drawn.count("bar quiet")) == (1, 1)
