from __future__ import annotations

import sys
from collections.abc import Callable

from serve.backends.base import BackendSource
from serve.backends.model_module import ModelModule, where

MakeSource = Callable[..., BackendSource]


def test_execute_registers_and_forget_removes_the_module(make_source: MakeSource) -> None:
    source = make_source("model.py")
    source.artefact.write_text("VALUE = 3")
    module = ModelModule(source)
    assert module.execute().VALUE == 3
    assert module.name in sys.modules
    module.forget()
    assert module.name not in sys.modules


def test_name_is_an_identifier_whatever_the_model_is_called(make_source: MakeSource) -> None:
    source = make_source("model.py")
    odd = BackendSource("my-model.v2/é", 1, source.folder, source.artefact, source.config)
    assert ModelModule(odd).name.isidentifier()


def test_where_is_the_artefact_when_no_line_of_the_model_was_passed(
    make_source: MakeSource,
) -> None:
    source = make_source("model.py")
    assert where(ValueError("from elsewhere"), source) == str(source.artefact)
