"""``.source.json`` in a model's folder: the version that its ``source`` stands for at present.

Written by whatever pulls, read by whatever serves. While it fits the ``source`` of ``model.yaml``,
that version has the label ``stable`` and one by the name of the alias, unless ``labels`` gives
these names to other versions. So an alias that moves back to an older version takes the server
back with it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.config import ModelConfig
from serve.config.model import LABEL
from serve.config.source import parse_reference
from serve.errors import RepositoryError
from serve.repository.files import read_text

__all__ = ["SOURCE_STATE", "SourceState", "read_source_state", "with_source", "write_source_state"]

SOURCE_STATE = ".source.json"
STABLE = "stable"


class SourceState(BaseModel):
    """``number`` is the folder of the version that ``source`` stood for when it was last asked."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    number: Annotated[int, Field(ge=1)]


def read_source_state(folder: Path) -> SourceState | None:
    """What was last pulled into a model's folder; None: nothing ever was.

    Raises:
        RepositoryError: the file is there, and is not one of ours.
    """
    path = folder / SOURCE_STATE
    if not path.exists():
        return None
    try:
        return SourceState.model_validate(json.loads(read_text(path)))
    except (ValueError, RecursionError) as error:
        what = "a field is wrong" if isinstance(error, ValidationError) else "it is not JSON"
        raise RepositoryError(
            path=str(path),
            problem=f"does not say what was pulled: {what}",
            remedy=f"delete it, and pull again with `penstock models pull {folder}`",
        ) from error


def write_source_state(folder: Path, state: SourceState) -> None:
    """Say which version counts from now on; in one step, so that no reader sees half of it."""
    path = folder / SOURCE_STATE
    written = folder / f"{SOURCE_STATE}.{os.getpid()}"
    written.write_text(json.dumps(state.model_dump()) + "\n", encoding="utf-8")
    written.replace(path)


def with_source(config: ModelConfig, folder: Path) -> ModelConfig:
    """The settings of a model with the labels that follow from what was pulled for its source.

    Raises:
        RepositoryError: what was pulled cannot be told.
    """
    if config.source is None:
        return config
    state = read_source_state(folder)
    # Of another source it says nothing of this one.
    if state is None or state.source != config.source:
        return config
    alias = parse_reference(config.source).alias
    labels = {STABLE: state.number}
    if LABEL.fullmatch(alias):
        labels[alias] = state.number
    return config.model_copy(update={"labels": {**labels, **config.labels}})
