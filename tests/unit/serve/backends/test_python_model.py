from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from serve.backends.base import BackendSource
from serve.backends.output_check import check_outputs
from serve.backends.python_model import PythonBackend
from serve.errors import BackendError, RepositoryError
from serve.tensors import Array, Batch

MakeSource = Callable[..., BackendSource]
BATCH = Batch((np.arange(6, dtype=np.float32).reshape(3, 2),), 3)


@pytest.fixture
def source(make_source: MakeSource) -> BackendSource:
    return make_source(
        "model.py",
        inputs={"x": {"datatype": "FP32", "shape": [-1, 2]}},
        outputs={"y": {"datatype": "FP32", "shape": [-1]}},
        parameters={"scale": "10"},
    )


def loaded(source: BackendSource, code: str) -> PythonBackend:
    source.artefact.write_text(code)
    backend = PythonBackend()
    backend.load(source)
    return backend


def predicting(source: BackendSource, expression: str) -> PythonBackend:
    code = f"import numpy as np\nclass Model:\n def predict(self, inputs):\n  return {expression}\n"
    return loaded(source, code)


def run(backend: PythonBackend) -> list[Array]:
    return backend.run(BATCH)


FULL = """
class Model:
    def load(self, context):
        self.scale = float(context.parameters["scale"])
        self.seen = (context.name, context.version, context.folder / "model.py")

    def predict(self, inputs):
        return {"y": inputs["x"].sum(axis=1) * self.scale}

    def close(self):
        self.seen[2].with_name("closed").touch()
"""


def test_model_is_loaded_run_and_closed(source: BackendSource) -> None:
    backend = loaded(source, FULL)
    assert run(backend)[0].tolist() == [10, 50, 90]
    backend.close()
    assert source.artefact.with_name("closed").exists()


def test_load_and_close_may_be_left_out(source: BackendSource) -> None:
    backend = predicting(source, "{'y': [1, 2, 3]}")
    assert run(backend)[0].dtype == np.float32
    backend.close()


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[1, 2]", "returned a list in place of a dictionary"),
        ("None", "returned a NoneType"),
        ("{}", "did not return output 'y'"),
        ("{'y': [1, 2, 3], 'z': 1}", "returned 'z'"),
        ("{'y': ['a', 'b', 'c']}", "output 'y' has dtype"),
        ("1 / 0", "predict raised ZeroDivisionError: division by zero"),
        ("exit(3)", "predict raised SystemExit: 3"),
        ("inputs['missing']", "predict raised KeyError: 'missing'"),
    ],
)
def test_run_names_what_predict_did_wrong(
    source: BackendSource, expression: str, says: str
) -> None:
    with pytest.raises(BackendError, match=says) as caught:
        run(predicting(source, expression))
    assert "Traceback" not in str(caught.value)


def test_run_leaves_the_number_of_rows_to_the_output_check(source: BackendSource) -> None:
    backend = PythonBackend()
    source.artefact.write_text("class Model:\n def predict(self, inputs): return {'y': [1, 2]}")
    signature = backend.load(source)
    with pytest.raises(BackendError, match="'y' has 2 rows for a batch of 3"):
        check_outputs(signature, run(backend), 3)


def test_run_logs_the_traceback_of_predict(
    source: BackendSource, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.ERROR, "penstock.backend"),
        pytest.raises(BackendError),
    ):
        run(predicting(source, "1 / 0"))
    assert "ZeroDivisionError" in caplog.text
    assert "model.py" in caplog.text


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1", "no class named Model"),
        ("Model = 3", "no class named Model"),
        ("class Model: pass", "no method predict"),
        ("class Model:\n async def predict(self, inputs): ...", "async"),
        ("class Model:\n def predict(self, inputs): yield {}", "yields"),
        ("class TritonPythonModel:\n def execute(self, r): ...", "rename the class to Model"),
        ("class Model:\n def predict(self, inputs) return", r"model\.py:2: importing.*SyntaxError"),
        ("\n\nimport no_such_package", r"model\.py:3: .*ModuleNotFoundError.*install the package"),
        ("a = 1\nb = a / 0", r"model\.py:2: .*ZeroDivisionError"),
        ("import sys\nsys.exit(1)", r"model\.py:2: .*SystemExit"),
        (
            "class Model:\n def __init__(self):\n  raise OSError('no disk')\n"
            " def predict(self, inputs): ...",
            r"model\.py:3: Model\(\): raised OSError: no disk",
        ),
        (
            "class Model:\n def load(self, context):\n  open(context.folder / 'absent')\n"
            " def predict(self, inputs): ...",
            r"model\.py:3: Model\.load: raised FileNotFoundError",
        ),
    ],
)
def test_load_names_file_line_and_remedy(source: BackendSource, code: str, says: str) -> None:
    before = set(sys.modules)
    with pytest.raises(RepositoryError, match=f"(?s){says}") as caught:
        loaded(source, code)
    assert caught.value.remedy
    assert not {name for name in set(sys.modules) - before if name.startswith("penstock_model")}


def test_close_forgets_the_module_and_its_helpers(source: BackendSource) -> None:
    (source.artefact.parent / "helper.py").write_text("VALUE = [7, 7, 7]")
    (source.folder / "shared.py").write_text("NAME = 'y'")
    before = set(sys.modules)
    backend = loaded(
        source,
        "from . import helper, shared\n"
        "class Model:\n def predict(self, inputs): return {shared.NAME: helper.VALUE}",
    )
    assert run(backend)[0].tolist() == [7, 7, 7]
    assert len(set(sys.modules) - before) == 3
    backend.close()
    assert set(sys.modules) == before


def test_two_loads_of_one_version_share_nothing(source: BackendSource) -> None:
    first = predicting(source, "{'y': [1, 1, 1]}")
    second = predicting(source, "{'y': [2, 2, 2, ][:3]}")
    first.close()
    assert run(second)[0].tolist() == [2, 2, 2]
    second.close()


def test_close_that_raises_is_logged_and_forgets_the_module(
    source: BackendSource, caplog: pytest.LogCaptureFixture
) -> None:
    backend = loaded(
        source,
        "class Model:\n def predict(self, inputs): ...\n def close(self): raise OSError('busy')",
    )
    before = len([name for name in sys.modules if name.startswith("penstock_model")])
    backend.close()
    assert "busy" in caplog.text
    assert len([name for name in sys.modules if name.startswith("penstock_model")]) == before - 1


def test_import_path_is_left_alone(source: BackendSource) -> None:
    before = list(sys.path)
    predicting(source, "{}")
    assert sys.path == before
    assert Path(source.artefact).exists()


def documented(language: str, marker: str) -> str:
    """The code block of docs/backends.md in ``language`` that has ``marker`` in it."""
    page = (Path(__file__).parents[4] / "docs" / "backends.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.S)
    return next(block for block in blocks if marker in block)


def test_documented_example_works(make_source: MakeSource) -> None:
    settings = yaml.safe_load(documented("yaml", "words:"))
    backend = loaded(make_source("model.py", **settings), documented("python", "class Model"))
    text = np.array([[b"a free winner"], [b"hello"]], object)
    score, word = backend.run(Batch((text, np.full((2, 1), 0.5, np.float32)), 2))
    assert score.tolist() == [1.0, 0.0]
    assert word.tolist() == ["free", ""]
