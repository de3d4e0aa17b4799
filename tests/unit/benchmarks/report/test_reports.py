"""The files of a run: page, digest, JUnit XML, terminal, and how they are written."""

import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from benchmarks.gates.findings import Finding
from benchmarks.gates.verdict import Verdict
from benchmarks.report import digest, folder, junit, page, terminal, words
from tests.support.results import example


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    return example(tmp_path_factory.mktemp("passed"))


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    return example(tmp_path_factory.mktemp("failed"), errors_allowed=0, retried=False)


class Checker(HTMLParser):
    """Tags in balance, ids unique, and what would be fetched."""

    VOID = {"meta", "link", "br", "img", "hr"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.fetched = [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        self.fetched += [found[name] for name in ("src", "href") if name in found]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(text):
    checker = Checker()
    checker.feed(text)
    return checker


def test_page_is_balanced_and_fetches_nothing(passed):
    text = page.render(passed)
    found = checked(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert found.fetched == ["data:,"]
    assert "<script" not in text
    assert "url(" not in text


def test_page_says_verdict_why_and_every_attempt(passed):
    text = page.render(passed)
    assert "Pass: ship it" in text
    assert "the generator was late" in text
    assert "1 (discarded)" in text
    assert "Not supported by this server: switching." in text


def test_page_escapes_what_comes_from_elsewhere(failed):
    hostile = msgspec.structs.replace(failed, description="<script>alert(1)</script>")
    assert "<script" not in page.render(hostile)


def test_reasons_name_gate_value_and_distance(failed):
    assert failed.verdict is Verdict.FAIL
    assert words.reasons(failed)[0] == "headline: error_rate ≤ 0: 0.0005, missed by 0.0005."


@pytest.mark.parametrize(
    ("value", "text"), [(float("nan"), "–"), (0.0012345, "0.00123"), (31234.5, "31,234"), (7, "7")]
)
def test_figures_are_short(value, text):
    assert words.figure(value) == text


def test_value_just_beyond_its_limit_is_not_shown_as_equal_to_it():
    assert words.measured(Finding(metric="x", text="", limit=1.0, value=1.0004))[0] == "1.0004"


def test_digest_has_a_row_for_each_gate(failed):
    text = digest.render(failed)
    assert text.startswith("# ✗ example: Fail: do not ship")
    assert "| ✗ fail | error_rate ≤ 0 | 0.0005 | missed by 0.0005 |" in text
    assert "latency_ms.p99 &lt; 100" in text


def test_junit_is_red_for_what_is_missed_and_skips_what_does_not_count(failed):
    suite = ElementTree.fromstring(junit.render(failed))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert suite.find("testcase/failure").get("message") == "fail: missed by 0.0005"


def test_junit_is_red_for_an_invalid_run(passed):
    scenario = msgspec.structs.replace(
        passed.scenarios[0], verdict=Verdict.INVALID, attempts=(), reason="no budget \x00 left"
    )
    suite = ElementTree.fromstring(
        junit.render(msgspec.structs.replace(passed, scenarios=(scenario,)))
    )
    assert suite.get("errors") == "1"


def test_terminal_ends_with_verdict_and_reasons(failed):
    console = Console(file=io.StringIO(), width=120)
    console.print(terminal.render(failed))
    text = console.file.getvalue()
    assert "✗ Fail: do not ship" in text
    assert "headline: error_rate ≤ 0: 0.0005" in text


def test_write_all_leaves_four_whole_files(passed, tmp_path):
    written = folder.write_all(passed, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in written
    )
    document = json.loads((tmp_path / "new" / "result.json").read_bytes())
    attempts = document["scenarios"][0]["attempts"]
    assert [one["discarded"] for one in attempts] == [True, False]
    assert document["provenance"]["lock_sha256"]


@pytest.mark.parametrize(("again", "verdict"), [(1.2, "fail"), (1.0, "inconclusive")])
def test_second_measurement_of_a_missed_ratio_is_shown_everywhere(tmp_path, again, verdict):
    result = example(tmp_path, ratios=(1.2, again))
    told = f"together they are: {verdict}."
    text = page.render(result)
    shown = io.StringIO()
    Console(file=shown, width=200).print(terminal.render(result))
    attempts = json.loads(msgspec.json.encode(result))["scenarios"][1]["attempts"]

    assert all(told in one for one in (digest.render(result), text, shown.getvalue()))
    assert "2 (with 1)" in text
    assert [(one["verdict"], one["confirms"]) for one in attempts] == [("fail", 0), (verdict, 1)]
    assert f"{verdict}: " in junit.render(result).decode()
