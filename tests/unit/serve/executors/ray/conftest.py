"""Ray is imported here, once, where what it deprecates of others is not an error."""

from __future__ import annotations

import importlib
import importlib.util
import warnings

if importlib.util.find_spec("ray") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("ray.serve")
