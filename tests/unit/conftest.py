"""What is too slow to make for each test that needs it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.pt2`` of ``tests.support.pt2_models.Mixed``, made by the step that makes them."""
    pytest.importorskip("torch", reason="torch is not installed")
    from optimize.steps.aot_inductor import AotInductor
    from optimize.steps.base import COMPILED, Context
    from tests.support.pt2_models import Mixed, save_program

    step = AotInductor()
    if step.unavailable():
        pytest.skip(step.unavailable())
    folder = tmp_path_factory.mktemp("pt2")
    program = save_program(Mixed().eval(), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
        step.run(program, folder / COMPILED, Context({}))
    return folder / COMPILED
