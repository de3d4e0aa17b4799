"""The other side of a ratio: another commit in a worktree, or another environment's command."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gates.outcome import Contender
from benchmarks.gates.provenance import ROOT, git, is_dirty
from benchmarks.gates.spec import Baseline

__all__ = ["BaselineError", "prepare", "resolve"]

CACHE = ROOT / "build" / "baselines"
DEFAULT_BRANCHES = ("origin/HEAD", "origin/main", "main", "origin/master", "master")


class BaselineError(RuntimeError):
    """The baseline cannot be had; the message says what to do."""


def prepare(
    baseline: Baseline,
    say: Callable[[str], None],
    *,
    root: Path = ROOT,
    cache: Path = CACHE,
) -> Contender:
    """A baseline that can be started: its command is the ``penstock`` to run.

    Made once for a commit and kept in ``cache``. Blocks while packages are installed.

    Raises:
        BaselineError: no such commit or command, or its environment cannot be made.
    """
    if baseline.installed is not None:
        return _installed(baseline.installed)
    assert baseline.ref is not None
    sha = resolve(baseline.ref, root)
    say(f"baseline: commit {sha[:12]}")
    tree = _worktree(sha, root, cache)
    shared = baseline.environment == "shared" or (
        baseline.environment == "auto" and _same_dependencies(root, tree)
    )
    python = sys.executable if shared else _environment(tree, say)
    note = "shares the candidate's packages" if shared else "has its own packages"
    command = _launcher(tree, Path(python))
    return Contender(name=f"commit {sha[:12]}", command=(str(command),), commit=sha, note=note)


def resolve(ref: str, root: Path = ROOT) -> str:
    """The commit that ``ref`` means.

    ``auto`` is where the checked-out commit left the default branch. If it is on that branch
    itself: the commit, where the working tree differs from it, else the one before, if any.

    Raises:
        BaselineError: git does not know it.
    """
    if ref == "auto":
        head = git("rev-parse", "HEAD", root=root)
        bases = (git("merge-base", "HEAD", branch, root=root) for branch in DEFAULT_BRANCHES)
        left = next(filter(None, bases), "")
        sha = left if left != head else ""
        if not sha and not is_dirty(root):
            sha = git("rev-parse", "--verify", "--quiet", "HEAD~1", root=root)
        sha = sha or head
    else:
        sha = git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", root=root)
    if not sha:
        raise BaselineError(
            f"git knows no commit `{ref}` in {root}: fetch it, name another with"
            " --set baseline.ref=REF, or go without with --no-baseline"
        )
    return sha


def _installed(command: str) -> Contender:
    found = shutil.which(command)
    if found is None:
        raise BaselineError(
            f"there is no command {command}: install that release in an environment of its own"
            " and name its `penstock`"
        )
    done = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BaselineError(f"`{found} version` failed: {done.stderr.strip()[-500:]}")
    version = done.stdout.strip()
    return Contender(name=f"release {version}", command=(found,), version=version)


def _worktree(sha: str, root: Path, cache: Path) -> Path:
    tree = cache / sha[:12]
    if git("rev-parse", "HEAD", root=tree) == sha and tree.is_dir():
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    tree.parent.mkdir(parents=True, exist_ok=True)
    git("worktree", "prune", root=root)
    done = subprocess.run(
        ["git", "-C", str(root), "worktree", "add", "--detach", "--force", str(tree), sha],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BaselineError(f"git could not check out {sha[:12]}: {done.stderr.strip()[-500:]}")
    return tree


def _same_dependencies(ours: Path, theirs: Path) -> bool:
    declared = [_declared(root / "pyproject.toml") for root in (ours, theirs)]
    return declared[0] == declared[1]


def _declared(pyproject: Path) -> dict[str, Any]:
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project.get("optional-dependencies", {})
    return {"base": project["dependencies"], **{name: extras.get(name) for name in ("cpu", "gpu")}}


def _environment(tree: Path, say: Callable[[str], None]) -> str:
    """An interpreter with what that commit declares."""
    folder = tree / ".venv"
    python, done_file = folder / "bin" / "python", folder / ".installed"
    if done_file.exists():
        return str(python)
    say("baseline: its dependencies differ, installing them")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", f"{tree}[{_runtime()}]"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BaselineError(
                f"the baseline's environment could not be made: {done.stderr.strip()[-500:]}"
            )
    done_file.touch()
    return str(python)


def _runtime() -> str:
    names = {found.name.lower() for found in importlib.metadata.distributions()}
    return "gpu" if "onnxruntime-gpu" in names else "cpu"


def _launcher(tree: Path, python: Path) -> Path:
    """A ``penstock`` that runs the code of the worktree, whatever is installed beside it."""
    path = tree / "build" / "penstock"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"#!{python}\nimport sys\n\nsys.path.insert(0, {str(tree)!r})\n"
        "from serve.cli import main\n\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    return path
