"""The tree of errors."""

from __future__ import annotations

import inspect
import re

import serve.errors
from serve.errors import PenstockError, RepositoryError


def test_docstring_draws_the_tree_that_is_there() -> None:
    drawn = set(re.findall(r"\b([A-Z]\w+)", serve.errors.__doc__ or "")) - {"Nothing", "HTTP"}
    classes = {
        name
        for name, item in vars(serve.errors).items()
        if inspect.isclass(item) and issubclass(item, PenstockError)
    }
    assert classes <= drawn
    assert classes | {"Code"} == set(serve.errors.__all__)


def test_repository_error_says_where_what_and_what_to_do() -> None:
    error = RepositoryError(path="m/model.yaml", field="slo", problem="is bad", remedy="mend it")
    assert str(error) == "m/model.yaml: slo: is bad (mend it)"
    whole = RepositoryError(path="m", problem="is bad", remedy="mend it")
    assert str(whole) == "m: is bad (mend it)"
