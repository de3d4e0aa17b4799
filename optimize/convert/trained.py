"""scikit-learn estimators and pipelines, LightGBM and XGBoost boosters → ONNX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from optimize.convert.graph import ML_OPSET, OPSET, finish, rename_outputs
from optimize.convert.thresholds import lightgbm_thresholds, round_thresholds_down
from optimize.errors import OptimizeError
from optimize.rows import Input

__all__ = ["convert"]

BOOSTER_OPSET = 15


def convert(model: Any, inputs: Sequence[Input]) -> bytes:
    """The graph of a trained model, with its preprocessing.

    A classifier's outputs are ``label`` [batch] and ``probabilities`` [batch, classes], any other
    model's is ``prediction`` [batch, values].

    Raises:
        OptimizeError: the converter cannot express the model; says what to do.
    """
    module = type(model).__module__.partition(".")[0]
    try:
        if module == "lightgbm" and hasattr(model, "dump_model"):
            graph = _lightgbm(model, inputs)
        elif module == "xgboost" and hasattr(model, "inplace_predict"):
            graph = _xgboost(model, inputs)
        else:
            graph = _sklearn(model, inputs)
        return _finished(model, graph)
    except OptimizeError:
        raise
    except Exception as error:
        raise OptimizeError(
            step="export",
            problem=f"{type(model).__name__} cannot be converted:"
            f" {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            remedy=_remedy(error),
        ) from error


def _finished(model: Any, graph: Any) -> bytes:
    rename = {"variable": "prediction", "output_label": "label", "label": "label"}
    rename |= {"output_probability": "probabilities"}
    rename_outputs(graph, rename)
    thresholds = sorted(
        {value for booster in _boosters(model) for value in lightgbm_thresholds(booster)}
    )
    if thresholds:
        round_thresholds_down(graph, thresholds)
    return finish(graph)


def _sklearn(model: Any, inputs: Sequence[Input]) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.base import is_classifier
    from sklearn.preprocessing import StandardScaler

    _register_boosters()
    kinds = {"FP32": FloatTensorType, "BYTES": StringTensorType}
    types = [(spec.name, kinds[spec.datatype]([None, *spec.shape[1:]])) for spec in inputs]
    # Scale by dividing, as scikit-learn does: to multiply by the inverse rounds differently.
    options: dict[Any, Any] = {StandardScaler: {"div": "div"}}
    if is_classifier(model):
        options[id(model)] = {"zipmap": False}
    return convert_sklearn(
        model,
        initial_types=types,
        options=options,
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )


def _register_boosters() -> None:
    """Let pipelines end in a LightGBM or XGBoost model, where these are installed."""
    import importlib.util

    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    classifier = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        update_registered_converter(
            LGBMClassifier,
            "LightGbmLGBMClassifier",
            calculate_linear_classifier_output_shapes,
            convert_lightgbm,
            options=classifier,
        )
        update_registered_converter(
            LGBMRegressor,
            "LightGbmLGBMRegressor",
            calculate_linear_regressor_output_shapes,
            convert_lightgbm,
            options={"split": None},
        )
    if importlib.util.find_spec("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        update_registered_converter(
            XGBClassifier,
            "XGBoostXGBClassifier",
            calculate_linear_classifier_output_shapes,
            convert_xgboost,
            options=classifier,
        )
        update_registered_converter(
            XGBRegressor,
            "XGBoostXGBRegressor",
            calculate_linear_regressor_output_shapes,
            convert_xgboost,
        )


def _lightgbm(booster: Any, inputs: Sequence[Input]) -> Any:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    return convert_lightgbm(
        booster,
        initial_types=[(inputs[0].name, FloatTensorType([None, booster.num_feature()]))],
        zipmap=False,
        target_opset=BOOSTER_OPSET,
    )


def _xgboost(booster: Any, inputs: Sequence[Input]) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    plain = booster.copy()
    # The converter knows columns by number only.
    plain.feature_names = None
    return convert_xgboost(
        plain,
        initial_types=[(inputs[0].name, FloatTensorType([None, booster.num_features()]))],
        target_opset=BOOSTER_OPSET,
    )


def _boosters(model: Any) -> Iterator[Any]:
    """The LightGBM boosters in a model."""
    if hasattr(model, "steps"):
        yield from _boosters(model.steps[-1][1])
    elif type(model).__module__.startswith("lightgbm"):
        yield getattr(model, "booster_", model)


def _remedy(error: Exception) -> str:
    text = str(error)
    if isinstance(error, NotImplementedError) or "not implemented" in text.lower():
        return (
            "fill missing strings with a word (''), not NaN, before imputing, or return your own"
            " graph with {'onnx': ..., 'predict': ...}"
        )
    if (
        "Unable to find a shape calculator" in text
        or "MissingShapeCalculator" in type(error).__name__
    ):
        return "no converter knows this estimator: use another, or return your own graph"
    return "see docs/optimize.md for what converts, or return your own graph"
