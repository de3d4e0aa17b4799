from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimize.errors import OptimizeError
from optimize.source.load import function_at, load_features


def test_function_at_says_what_has_to_be_installed(tmp_path: Path) -> None:
    (tmp_path / "needs_more.py").write_text("import no_such_library\n")
    with pytest.raises(OptimizeError, match=r"imports no_such_library.*install it"):
        function_at(tmp_path, "needs_more.py:model", "source")


def test_load_features_takes_a_file_or_a_function(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.arange(3))
    (tmp_path / "features_alone.py").write_text("def rows(): return [1, 2]\n")
    assert load_features(tmp_path, "rows.npz")["x"].tolist() == [0, 1, 2]
    assert load_features(tmp_path, "features_alone.py:rows") == [1, 2]


def test_load_features_refuses_a_pair(tmp_path: Path) -> None:
    (tmp_path / "features_pair.py").write_text("def rows(): return [1], [2]\n")
    with pytest.raises(OptimizeError, match="return the features alone"):
        load_features(tmp_path, "features_pair.py:rows")
