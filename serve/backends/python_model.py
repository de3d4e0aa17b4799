"""Models that are a ``model.py``: any Python that predicts on a whole batch."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.backends.base import BackendSource
from serve.backends.model_errors import is_interrupt, shown_error
from serve.backends.model_module import ModelModule, where
from serve.backends.output_cast import cast_output
from serve.backends.signature import declared_signature
from serve.config import ModelConfig
from serve.errors import BackendError, RepositoryError
from serve.tensors import Array, Batch, Signature

__all__ = ["ModelContext", "PythonBackend"]

logger = logging.getLogger("penstock.backend")


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What ``Model.load`` is given. ``folder`` is the version's, where ``model.py`` lies."""

    name: str
    version: int
    folder: Path
    parameters: Mapping[str, str]
    config: ModelConfig


class PythonBackend:
    """Runs the class ``Model`` of a ``model.py``."""

    def __init__(self) -> None:
        self._module: ModelModule | None = None
        self._model: Any = None
        self._signature: Signature | None = None
        self._label = ""

    def load(self, source: BackendSource) -> Signature:
        """Import the file, create its Model, and call its ``load``."""
        self._label = f"{source.model_name}/{source.version}"
        signature = declared_signature(source)
        self._module = ModelModule(source)
        try:
            kind = _model_class(source.artefact, self._module.execute())
            self._model = _started(source, kind)
        except BaseException:
            self._module.forget()
            raise
        self._signature = signature
        return signature

    def run(self, batch: Batch) -> list[Array]:
        """Call ``predict``; whatever it raises becomes a BackendError, its traceback is logged."""
        signature = self._signature
        assert signature is not None, "run before load"
        inputs = {
            spec.name: array for spec, array in zip(signature.inputs, batch.inputs, strict=True)
        }
        try:
            return _outputs(signature, self._model.predict(inputs))
        except BackendError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            logger.error("%s: predict failed", self._label, exc_info=error)
            raise BackendError(f"predict raised {shown_error(error)}") from error

    def platform(self) -> str:
        """The protocol's name for it."""
        return "python"

    def close(self) -> None:
        """Call the model's ``close``, if it has one, and forget its modules."""
        model, self._model = self._model, None
        try:
            if hasattr(model, "close"):
                model.close()
        except BaseException as error:
            if is_interrupt(error):
                raise
            logger.error("%s: close failed", self._label, exc_info=error)
        finally:
            if self._module is not None:
                self._module.forget()


def _model_class(artefact: Path, module: Any) -> Any:
    kind = vars(module).get("Model")
    if inspect.isclass(kind):
        _check_predict(artefact, kind)
        return kind
    problem = "defines no class named Model"
    remedy = "define `class Model` with `predict(self, inputs)`: see docs/backends.md"
    if "TritonPythonModel" in vars(module):
        problem = "defines a TritonPythonModel, which needs Triton's own Python backend"
        remedy = (
            "rename the class to Model, initialize to load and finalize to close, and replace"
            " execute by predict(self, inputs), which gets and returns a dictionary of arrays"
            " for the whole batch: see docs/backends.md"
        )
    raise RepositoryError(path=str(artefact), problem=problem, remedy=remedy)


def _check_predict(artefact: Path, kind: Any) -> None:
    predict = getattr(kind, "predict", None)
    problem = ""
    if not callable(predict):
        problem, remedy = "has no method predict", "define `def predict(self, inputs)`"
    elif inspect.iscoroutinefunction(predict) or inspect.isasyncgenfunction(predict):
        problem = "declares predict as async, but it runs in a worker thread"
        remedy = "write `def predict`, and raise resources.instances to run several at once"
    elif inspect.isgeneratorfunction(predict):
        problem = "has a predict that yields, but a batch has one answer"
        remedy = "return a dictionary of all outputs"
    if problem:
        raise RepositoryError(
            path=str(artefact), field="Model.predict", problem=problem, remedy=remedy
        )


def _started(source: BackendSource, kind: Any) -> Any:
    context = ModelContext(
        name=source.model_name,
        version=source.version,
        folder=source.artefact.parent,
        parameters=source.config.parameters,
        config=source.config,
    )
    step = "Model()"
    try:
        model = kind()
        step = "Model.load"
        if hasattr(model, "load"):
            model.load(context)
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise RepositoryError(
            path=where(error, source),
            field=step,
            problem=f"raised {shown_error(error)}",
            remedy="correct what it says; the model is not served until it loads",
        ) from error
    return model


def _outputs(signature: Signature, result: Any) -> list[Array]:
    if not isinstance(result, Mapping):
        raise BackendError(
            f"predict returned a {type(result).__name__} in place of a dictionary from output name"
            " to array"
        )
    outputs = []
    for spec in signature.outputs:
        if spec.name not in result:
            raise BackendError(f"predict did not return output {spec.name!r}")
        outputs.append(cast_output(spec, result[spec.name]))
    if len(result) > len(outputs):
        known = {spec.name for spec in signature.outputs}
        extra = next(str(name) for name in result if name not in known)
        raise BackendError(f"predict returned {extra[:80]!r}, which is not a declared output")
    return outputs
