"""``model.yaml`` → ModelConfig."""

from __future__ import annotations

from pathlib import Path

import yaml

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.files import read_text
from serve.repository.validation import validate
from serve.repository.yaml_text import load_yaml

__all__ = ["parse_model_yaml", "read_model_yaml"]


def read_model_yaml(path: Path) -> ModelConfig:
    """The settings in the file at ``path``.

    Raises:
        RepositoryError: it cannot be read, is not YAML, or a field is wrong.
    """
    return parse_model_yaml(read_text(path), str(path))


def parse_model_yaml(text: str, path: str) -> ModelConfig:
    """The settings in ``text``; ``path`` is where errors say it came from."""
    try:
        data = load_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        # `problem` is absent where the context alone says it all.
        what = error.problem or error.context or "not YAML"
        raise RepositoryError(
            path=path, problem=f"{place}{what}", remedy="correct the YAML at that place"
        ) from error
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())[:200]
        raise RepositoryError(
            path=path, problem=f"not YAML: {what}", remedy="correct the file"
        ) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise RepositoryError(
            path=path,
            problem=f"holds a {type(data).__name__}, not fields",
            remedy="write fields, as in `owner: team-a`, or leave the file empty",
        )
    # `batching:` with nothing below it, or only comments, is the group left at its defaults.
    empty = {name for name in ModelConfig.model_fields if data.get(name, ...) is None}
    return validate({name: value for name, value in data.items() if name not in empty}, path)
