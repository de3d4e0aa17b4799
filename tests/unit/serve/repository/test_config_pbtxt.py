from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.config import Cache, ModelConfig
from serve.errors import RepositoryError
from serve.repository.config_pbtxt import (
    TritonModel,
    in_triton_terms,
    parse_config_pbtxt,
    read_config_pbtxt,
)

CLASSIFIER = """\
# An image classifier as it is laid out for Triton.
name: "resnet"
platform: "onnxruntime_onnx"
max_batch_size: 32
input [
  {
    name: "data"
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
  }
]
output [
  {
    name: "logits"
    data_type: TYPE_FP32
    dims: [ 3 ]
    label_filename: "labels.txt"
  }
]
version_policy: { latest: { num_versions: 2 } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 16, 8 ]
  max_queue_delay_microseconds: 500
  default_queue_policy {
    default_timeout_microseconds: 250000
    max_queue_size: 100
    allow_timeout_override: true
  }
}
model_warmup [
  {
    name: "one"
    batch_size: 1
    inputs { key: "data" value { data_type: TYPE_FP32 dims: [3, 224, 224] zero_data: true } }
  },
  { name: "full" batch_size: 32 }
]
optimization { execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" } ] } }
parameters { key: "intra_op_thread_count" value: { string_value: "4" } }
response_cache { enable: true }
"""

PYTHON = """\
backend: "python"
input { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
input { name: "N" data_type: TYPE_INT64 dims: [ -1 ] }
output { name: "SCORE" data_type: TYPE_BF16 dims: [ 1 ] }
instance_group { kind: KIND_GPU gpus: [ 1 ] }
parameters [ { key: "threshold" value { string_value: "0.5" } } ]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "resnet"
    folder.mkdir()
    (folder / "labels.txt").write_bytes(b"cat\r\ndog\n\n")
    return folder / "config.pbtxt"


def refusal(text: str, path: Path) -> RepositoryError:
    with pytest.raises(RepositoryError) as caught:
        parse_config_pbtxt(text, path)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    return caught.value


def test_read_config_pbtxt_translates_batched_model(path: Path) -> None:
    path.write_text(CLASSIFIER)
    config = read_config_pbtxt(path).config
    assert config.backend == "onnxruntime"
    assert config.batching.max_batch_size == 32
    assert config.batching.preferred_batch_sizes == (8, 16)
    assert config.batching.max_queue_delay_ms == 0.5
    assert config.batching.max_queue_rows == 3200
    assert config.slo.timeout_ms == 250
    assert (config.versions.policy, config.versions.count) == ("latest", 2)
    assert (config.resources.device, config.resources.instances) == ("cpu", 2)
    assert config.resources.intra_op_threads == 4
    assert config.inputs["data"].datatype == "FP32"
    assert config.inputs["data"].shape == (-1, 3, 224, 224)
    assert config.outputs["logits"].labels == ("cat", "dog", "")
    assert config.warmup.batch_sizes == (1, 32)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("response_cache { enable: true }", True), ("response_cache {}", False), ("", False)],
)
def test_response_cache_keeps_answers_without_an_age(text: str, kept: bool, path: Path) -> None:
    config = parse_config_pbtxt(text, path).config
    assert config.cache == (Cache(ttl_s=None) if kept else None)


def test_read_config_pbtxt_warns_once_of_all_that_has_no_effect(path: Path) -> None:
    path.write_text(CLASSIFIER)
    (warning,) = read_config_pbtxt(path).warnings
    assert warning == (
        f"{path}: set but without effect here: input.format, model_warmup.inputs,"
        " optimization.execution_accelerators"
    )


def test_parse_config_pbtxt_translates_model_that_is_not_batched(path: Path) -> None:
    model = parse_config_pbtxt(PYTHON, path)
    config = model.config
    assert config.backend == "python"
    assert config.batching.max_batch_size == 0
    assert config.inputs["TEXT"].datatype == "BYTES"
    assert config.inputs["TEXT"].shape == (1,)
    assert config.inputs["N"].shape == (-1,)
    assert config.outputs["SCORE"].datatype == "BF16"
    assert (config.resources.device, config.resources.instances) == ("cuda:1", 1)
    assert config.parameters == {"threshold": "0.5"}
    assert model.warnings == ()


@pytest.mark.parametrize("text", ["", "# nothing", 'name: "resnet"', "\ufeff".lstrip("\ufeff")])
def test_parse_config_pbtxt_leaves_everything_to_the_artefact_when_empty(
    text: str, path: Path
) -> None:
    assert parse_config_pbtxt(text, path) == TritonModel(ModelConfig())


def test_parse_config_pbtxt_leaves_tensor_to_the_artefact_when_only_named(path: Path) -> None:
    config = parse_config_pbtxt('max_batch_size: 8 output { name: "y" }', path).config
    assert (config.outputs["y"].datatype, config.outputs["y"].shape) == (None, None)
    assert config.inputs == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version_policy { all {} }", {"policy": "all"}),
        ("version_policy { latest {} }", {"policy": "latest", "count": 1}),
        (
            "version_policy { specific { versions: [ 3, 1 ] } }",
            {"policy": "specific", "numbers": (1, 3)},
        ),
    ],
)
def test_parse_config_pbtxt_reads_version_policy(
    text: str, expected: dict[str, object], path: Path
) -> None:
    versions = parse_config_pbtxt(text, path).config.versions
    assert {name: getattr(versions, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "device", "instances", "warned"),
    [
        ("instance_group { count: 3 }", "auto", 3, ""),
        ("instance_group { kind: KIND_GPU }", "cuda", 1, ""),
        ("instance_group { kind: KIND_MODEL }", "auto", 1, ""),
        (
            "instance_group [ { kind: KIND_GPU gpus: [2, 0, 3] }, { kind: KIND_GPU gpus: 2 } ]",
            "cuda:2",
            2,
            "instance_group.gpus (0, 3)",
        ),
        (
            "instance_group [ { kind: KIND_CPU count: 2 }, { kind: KIND_GPU } ]",
            "cpu",
            3,
            "instance_group.kind (after the first)",
        ),
    ],
)
def test_parse_config_pbtxt_reads_instance_groups(
    text: str, device: str, instances: int, warned: str, path: Path
) -> None:
    model = parse_config_pbtxt(text, path)
    resources = model.config.resources
    assert (resources.device, resources.instances) == (device, instances)
    assert " ".join(model.warnings).endswith(warned)
    assert bool(model.warnings) == bool(warned)


def test_parse_config_pbtxt_warns_of_parameters_that_nothing_reads(path: Path) -> None:
    text = 'parameters { key: "execution_mode" value { string_value: "1" } }'
    (warning,) = parse_config_pbtxt(text, path).warnings
    assert warning.endswith("parameters['execution_mode']")


def test_parse_config_pbtxt_gives_default_model_filename(path: Path) -> None:
    text = 'default_model_filename: "m.onnx"'
    assert parse_config_pbtxt(text, path).default_model_filename == "m.onnx"


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        ('name: "vgg"', "name", "not the name of its folder, 'resnet'"),
        ('platform: "tensorrt_plan"', "platform", "not served here"),
        ('backend: "pytorch"', "backend", "not served here"),
        ('backend: "python" platform: "onnxruntime_onnx"', "platform", "contradicts"),
        ("sequence_batching {}", "sequence_batching", "not offered"),
        ('platform: "ensemble" ensemble_scheduling {}', "ensemble_scheduling", "not offered"),
        ("max_batch_size: -1", "max_batch_size", "is -1"),
        ("max_batch_size: 70000", "max_batch_size", "is 70000"),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }",
            "dynamic_batching.preferred_batch_size",
            "8 is not within",
        ),
        ("version_policy { specific {} }", "version_policy.specific.versions", "numbers"),
        ("instance_group { count: 999 }", "instance_group.count", "is 999"),
        ("instance_group { count: -1 }", "instance_group.count", "is -1"),
        ("instance_group { kind: KIND_GPU gpus: -1 }", "instance_group.gpus", "cuda:-1"),
        ("input { data_type: TYPE_FP32 }", "input[0].name", "missing"),
        ("input { name: 'a' } input { name: 'a' }", "input['a']", "twice"),
        ("input { name: 'a' data_type: 99 }", "input['a'].data_type", "99 is no datatype"),
        ("output { name: 'a' dims: [ 0 ] }", "output['a'].dims", "0 is no size"),
        ("output { name: 'a' dims: [ -2 ] }", "output['a'].dims", "-2 is no size"),
        ("default_model_filename: '../m.onnx'", "default_model_filename", "is not the name"),
        ("default_model_filename: 'm\\000'", "default_model_filename", "is not the name"),
        (
            "parameters { key: 'intra_op_thread_count' value { string_value: 'many' } }",
            "parameters['intra_op_thread_count']",
            "integer",
        ),
    ],
)
def test_parse_config_pbtxt_names_field_and_problem(
    text: str, field: str, problem: str, path: Path
) -> None:
    error = refusal(text, path)
    assert error.field == field
    assert problem in error.problem


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("nme: 1", "line 1, column 1"),
        ("max_batch_size: 4\ninput [ { dims: [ x ] } ]", "line 2, column 19"),
        ("input {", "line 1, column 7"),
        ("max_batch_size: 1 max_batch_size: 2", "line 1, column"),
        ("max_batch_size: 99999999999", "line 1, column 17"),
        ("{" * 100_000, "line 1, column 1"),
        ("input " + "[" * 100_000, "line 1"),
    ],
)
def test_parse_config_pbtxt_names_place_of_syntax_error(text: str, place: str, path: Path) -> None:
    error = refusal(text, path)
    assert place in error.problem
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../secret", "outside the model's folder"),
        ("/etc/passwd", "outside the model's folder"),
        ("link", "outside the model's folder"),
        ("circle", "cannot be"),
        ("absent.txt", "no such file"),
        (".", "is a directory"),
        ("a\\000b", "is no file name"),
        ("x" * 5000, "cannot be"),
    ],
)
def test_parse_config_pbtxt_reads_labels_only_from_the_models_folder(
    name: str, problem: str, path: Path
) -> None:
    (path.parent.parent / "secret").write_text("secret")
    (path.parent / "link").symlink_to("../secret")
    (path.parent / "circle").symlink_to("circle")
    error = refusal(f"output {{ name: 'y' label_filename: '{name}' }}", path)
    assert error.field == "output['y'].label_filename"
    assert problem in error.problem


def check(text: str) -> None:
    """Settings or the one error that a user can act on, which any terminal can show."""
    try:
        model = parse_config_pbtxt(text, Path("/nowhere/resnet/config.pbtxt"))
        assert isinstance(model.config, ModelConfig)
        "".join(model.warnings).encode()
    except RepositoryError as error:
        assert error.remedy
        str(error).encode()


@given(st.text())
def test_parse_config_pbtxt_never_raises_another_error(text: str) -> None:
    check(text)


SYMBOLS = "{ } [ ] < > , ; : - # ' \" \\ 0 -1 0x 1e9 inf nan 99999999999999999999 true TYPE_FP32"
PIECES = st.sampled_from([*(CLASSIFIER + PYTHON + SYMBOLS).split(), "\n", "\0", "\\xff", "é"])


@given(st.lists(PIECES, max_size=40))
def test_parse_config_pbtxt_never_raises_another_error_when_text_is_nearly_right(
    pieces: list[str],
) -> None:
    check(" ".join(pieces))


NUMBERS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.sampled_from(["", "resnet", "python", "onnxruntime", "a/b", "..", "\\000", "\\377"])
FIELDS = st.one_of(
    NUMBERS.map(lambda n: f"max_batch_size: {n}"),
    NUMBERS.map(lambda n: f"instance_group {{ count: {n} kind: {n % 5} gpus: {n} }}"),
    NUMBERS.map(lambda n: f"version_policy {{ specific {{ versions: [{n}] }} }}"),
    NUMBERS.map(lambda n: f"dynamic_batching {{ preferred_batch_size: {n} }}"),
    NUMBERS.map(lambda n: f"input {{ name: 'i{n % 3}' data_type: {n % 20} dims: {n} }}"),
    NUMBERS.map(lambda n: f"model_warmup {{ batch_size: {abs(n)} }}"),
    st.integers(0, 2**64 - 1).map(
        lambda n: f"dynamic_batching {{ max_queue_delay_microseconds: {n} }}"
    ),
    st.integers(0, 2**64 - 1).map(
        lambda n: (
            "dynamic_batching { default_queue_policy"
            f" {{ default_timeout_microseconds: {n} max_queue_size: {n % 2**32} }} }}"
        )
    ),
    st.tuples(
        st.sampled_from(["name", "backend", "platform", "default_model_filename", "runtime"]), TEXTS
    ).map(lambda pair: f'{pair[0]}: "{pair[1]}"'),
    TEXTS.map(lambda text: f'output {{ name: "o" label_filename: "{text}" }}'),
    TEXTS.map(lambda text: f'parameters {{ key: "{text}" value {{ string_value: "{text}" }} }}'),
)


@given(st.lists(FIELDS, max_size=5))
def test_parse_config_pbtxt_never_raises_another_error_when_values_do_not_fit(
    fields: list[str],
) -> None:
    check("\n".join(fields))


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("inputs.x.shape", "input['x'].dims"),
        ("outputs.a.b.datatype", "output['a.b'].data_type"),
        ("inputs.x", "input['x']"),
        ("batching.max_batch_size", "max_batch_size"),
        ("resources.device", "instance_group.gpus"),
        ("inputs", "inputs"),
    ],
)
def test_error_found_at_load_names_the_field_of_the_file(field: str, name: str) -> None:
    error = RepositoryError(path="m/config.pbtxt", field=field, problem="bad", remedy="mend")
    assert in_triton_terms(error).field == name


def test_error_of_another_file_stays_as_it_is() -> None:
    error = RepositoryError(path="m/model.yaml", field="inputs.x.shape", problem="b", remedy="m")
    assert in_triton_terms(error) is error
