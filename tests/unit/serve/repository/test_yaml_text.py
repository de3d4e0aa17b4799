from __future__ import annotations

import math
import time

import pytest
import yaml

from serve.repository.yaml_text import load_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a:", {"a": None}),
        ("a: NO", {"a": "NO"}),
        ("a: yes", {"a": "yes"}),
        ("a: true", {"a": True}),
        ("a: 010", {"a": 10}),
        ("a: 0x1f", {"a": 31}),
        ("a: 0o17", {"a": 15}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 1e-3", {"a": 0.001}),
        ("a: -.5", {"a": -0.5}),
        ("a: -.inf", {"a": -math.inf}),
        ("a: 2024-13-45", {"a": "2024-13-45"}),
        ("a: '1'", {"a": "1"}),
        ("a: {<<: {b: 1, c: 1}, b: 2}", {"a": {"b": 2, "c": 1}}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    ],
)
def test_load_yaml_reads_scalars_as_yaml_1_2(text: str, expected: object) -> None:
    assert load_yaml(text) == expected


def test_load_yaml_reads_nan() -> None:
    assert math.isnan(load_yaml("a: .nan")["a"])


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, 1, "`a` appears twice"),
        ("x:\n  a: 1\n  a: 2", 3, 3, "`a` appears twice"),
        ("a: [1", 1, 6, "expected"),
        ("a: &x [*x]", 1, 4, "inside the value it stands for"),
        ("a: !!python/object:os.system {}", 1, 4, "constructor"),
        ("a: 1\n---\nb: 2", 2, 1, "another document"),
        ('a: "\\ud800"', 1, 4, "surrogate"),
        ("a: " + "1" * 5000, 1, 4, "too many digits"),
        ("a: !!bool maybe", 1, 4, "not `true` or `false`"),
        ("a: !!int {}", 1, 4, "expected a scalar"),
        ("a: !!float x", 1, 4, "not a number"),
    ],
)
def test_load_yaml_names_the_place(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        load_yaml(text)
    mark = caught.value.problem_mark
    assert mark is not None
    assert (mark.line + 1, mark.column + 1) == (line, column)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 5000, "!!timestamp x", "a: \0", "!!set [1]", "!!map a"])
def test_load_yaml_raises_its_own_error_when_text_is_hostile(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


@pytest.mark.parametrize("kind", ["value", "merge"])
def test_load_yaml_refuses_what_aliases_make_large(kind: str) -> None:
    lines = ["a0: &a0 {k: 1}"]
    for level in range(1, 12):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        body = f"{{<<: [{aliases}]}}" if kind == "merge" else f"[{aliases}]"
        lines.append(f"a{level}: &a{level} {body}")
    started = time.process_time()
    with pytest.raises(yaml.YAMLError, match="more than 50000 values"):
        load_yaml("\n".join(lines))
    assert time.process_time() - started < 30  # written out, it would never end


def test_load_yaml_reads_no_further_than_the_limit() -> None:
    # The rest is not YAML: had it been read, that would have been the complaint.
    with pytest.raises(yaml.MarkedYAMLError, match="more than 50000 values"):
        load_yaml("a: [" + "1," * 60_000 + "}")
