from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.model_yaml import parse_model_yaml, read_model_yaml

FULL = """\
owner: risk-team
description: Scores a card transaction.
backend: onnxruntime
batching: {max_batch_size: 64, max_queue_delay_ms: 1.5, preferred_batch_sizes: [8, 64]}
slo: {latency_ms: 50, timeout_ms: 1e3}
versions: {policy: specific, numbers: [1, 3]}
resources: {device: "cuda:1", instances: 2}
inputs:
  amount: {datatype: FP32, shape: [-1, 1], range: [0, null], default: .nan}
outputs:
  class: {labels: [genuine, fraud, NO]}
warmup: {batch_sizes: [1, 64]}
parameters: {threshold: "0.5"}
"""


def test_parse_model_yaml_reads_every_group() -> None:
    config = parse_model_yaml(FULL, "model.yaml")
    assert config.batching.preferred_batch_sizes == (8, 64)
    assert config.slo.timeout_ms == 1000
    assert config.versions.numbers == (1, 3)
    assert config.resources.device == "cuda:1"
    amount = config.inputs["amount"]
    assert amount.range == (0, None)
    assert isinstance(amount.default, float)
    assert math.isnan(amount.default)
    assert config.outputs["class"].labels == ("genuine", "fraud", "NO")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "batching:\n  # max_batch_size: 3\n"])
def test_parse_model_yaml_gives_defaults_when_nothing_is_set(text: str) -> None:
    assert parse_model_yaml(text, "model.yaml") == ModelConfig()


@pytest.mark.parametrize(
    ("text", "field", "problem", "remedy"),
    [
        ("batching: {max_batch_size: -1}", "batching.max_batch_size", "is -1", "Most rows"),
        ("batching: {max_batchsize: 1}", "batching.max_batchsize", "unknown", "`max_batch_size`"),
        ("max_batch_size: 1", "max_batch_size", "unknown", "`batching.max_batch_size`"),
        ("zzz: 1", "zzz", "unknown field", "the fields here are owner"),
        ("zzz:", "zzz", "unknown field", "the fields here are owner"),
        ("versions: {policy: newest}", "versions.policy", "'latest', 'all'", "highest"),
        ("versions: {policy: specific}", "versions", "numbers goes with", "folders"),
        ("parameters: {n: 4}", "parameters.n", "valid string, is 4", "in quotes"),
        ("inputs: {x: {default: [1]}}", "inputs.x.default", "boolean or a valid int", "null"),
        ("inputs: {x: {range: [1]}}", "inputs.x.range", "required", "Lowest"),
        ("inputs: {x: {range: [1, x]}}", "inputs.x.range.1", "number", "Lowest"),
        ("inputs: {x: {range: [2, 1]}}", "inputs.x.range", "2.0 is above 1.0", "Lowest"),
        ("inputs: {x: {shap: [1]}}", "inputs.x.shap", "unknown field", "`shape`"),
        ("inputs: {x: }", "inputs.x", "is null", "input name"),
        ("batching: 4", "batching", "dictionary", "put together"),
        ("1: 2", "1", "strings", "schema"),
    ],
)
def test_parse_model_yaml_names_field_problem_and_remedy(
    text: str, field: str, problem: str, remedy: str
) -> None:
    with pytest.raises(RepositoryError) as caught:
        parse_model_yaml(text, "m/model.yaml")
    assert caught.value.path == "m/model.yaml"
    assert caught.value.field == field
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_parse_model_yaml_tells_all_that_is_wrong() -> None:
    with pytest.raises(RepositoryError) as caught:
        parse_model_yaml("slo: {timeout_ms: 0}\nbatching: {max_queue_rows: 0}\nx: 1", "m")
    for field in ("slo.timeout_ms", "batching.max_queue_rows", "x: unknown field"):
        assert field in str(caught.value)


def test_parse_model_yaml_bounds_its_message() -> None:
    text = "\n".join(f"{'x' * 900}{n}: 1" for n in range(50))
    with pytest.raises(RepositoryError) as caught:
        parse_model_yaml(text, "m")
    assert "and 42 more" in str(caught.value)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("owner: a\nowner: b", "line 2, column 1: the key `owner` appears twice"),
        ("owner: [", "line 1, column 9"),
        ("- 1", "holds a list"),
        ("just text", "holds a str"),
    ],
)
def test_parse_model_yaml_refuses_what_is_not_fields(text: str, problem: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        parse_model_yaml(text, "m")
    assert problem in caught.value.problem


def test_read_model_yaml_refuses_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("#" * (2 * 1024 * 1024))
    with pytest.raises(RepositoryError, match="longer than"):
        read_model_yaml(path)


def check(text: str) -> None:
    """Settings or the one error that a user can act on, which any terminal can show."""
    try:
        assert isinstance(parse_model_yaml(text, "model.yaml"), ModelConfig)
    except RepositoryError as error:
        assert error.remedy
        str(error).encode()


@given(st.text())
def test_parse_model_yaml_never_raises_another_error(text: str) -> None:
    check(text)


SYMBOLS = r"""{ } [ ] , : - ? & * ! | > ' " % @ ` # ~ << &a *a .nan .inf -1 0x 1_0 1e999 null
!!int !!float !!binary !!set !!omap !!timestamp !!null !!str !!map !!seq --- ... \ud800"""
SPACES = ["\n", "\n  ", "\n    ", "\n- ", ": ", " ", "\t", "\x85"]
WORDS = FULL.replace("{", " ").replace("}", " ").split()
PIECES = st.sampled_from([*WORDS, *SYMBOLS.split(), *SPACES])


@given(st.lists(PIECES, max_size=40))
def test_parse_model_yaml_never_raises_another_error_when_text_is_nearly_yaml(
    pieces: list[str],
) -> None:
    check("".join(pieces))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*ModelConfig.model_fields, "max_batch_size", "x", "range", "policy"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(ModelConfig.model_fields)), VALUES, max_size=4))
def test_parse_model_yaml_never_raises_another_error_when_values_do_not_fit(
    data: dict[str, object],
) -> None:
    import yaml

    check(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("slo: {timeout_ms: .inf}", "slo.timeout_ms"),
        ("slo: {latency_ms: .nan}", "slo.latency_ms"),
        ("warmup: {budget_ms: .inf}", "warmup.budget_ms"),
        ("warmup: {batch_sizes: [0]}", "warmup.batch_sizes.0"),
        ("inputs: {x: {range: [.nan, 1]}}", "inputs.x.range.0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(text: str, field: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        parse_model_yaml(text, "model.yaml")
    assert caught.value.field == field


def test_crowd_of_wrong_fields_is_counted_and_not_all_explained() -> None:
    text = "\n".join(f"field{index}: 1" for index in range(20_000))
    with pytest.raises(RepositoryError, match="and 19992 more"):
        parse_model_yaml(text, "model.yaml")
