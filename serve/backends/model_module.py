"""Importing a ``model.py`` under a name of its own, and taking it out again without a trace."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from serve.backends.base import BackendSource
from serve.backends.model_errors import is_interrupt, shown_error
from serve.errors import RepositoryError

__all__ = ["ModelModule", "where"]

# Two loads of one version (a reload) are two modules: the old one still serves meanwhile.
_load_number = itertools.count(1)


class ModelModule:
    """The module of one loaded version.

    It is a package as far as imports go: ``from . import helper`` finds ``helper.py`` in the
    version's folder, then in the model's. ``sys.path`` is left alone, so that two models may each
    have a ``helper.py``.
    """

    def __init__(self, source: BackendSource) -> None:
        self._source = source
        name = re.sub(r"\W", "_", source.model_name)
        self.name = f"penstock_model_{name}_{source.version}_{next(_load_number)}"

    def execute(self) -> ModuleType:
        """Run the file and return its module.

        Raises:
            RepositoryError: it cannot be read or parsed, or raised; names file and line.
        """
        source = self._source
        folders = [str(source.artefact.parent), str(source.folder)]
        spec = importlib.util.spec_from_file_location(
            self.name, source.artefact, submodule_search_locations=folders
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            self.forget()
            if is_interrupt(error):
                raise
            raise RepositoryError(
                path=where(error, source),
                problem=f"importing it raised {shown_error(error)}",
                remedy=_remedy(error),
            ) from error
        return module

    def forget(self) -> None:
        """Remove the module, and the helpers it imported, from ``sys.modules``."""
        prefix = f"{self.name}."
        for name in [name for name in sys.modules if name == self.name or name.startswith(prefix)]:
            del sys.modules[name]


def where(error: BaseException, source: BackendSource) -> str:
    """``file:line`` of the innermost line of the model's own code that ``error`` passed."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(source.folder):
            return f"{frame.filename}:{frame.lineno}"
    return str(source.artefact)


def _remedy(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return "correct the syntax on that line"
    if isinstance(error, ImportError):
        return (
            "install the package in the server's environment; a file of the model's own folder is"
            " imported with `from . import name`"
        )
    return "correct what it says, and keep heavy work for Model.load"
