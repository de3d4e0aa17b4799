"""A baseline from git, on a small repository of its own."""

import subprocess
import sys

import pytest

from benchmarks.gates.baseline import BaselineError, prepare, resolve
from benchmarks.gates.spec import Baseline

PYPROJECT = '[project]\nname = "x"\ndependencies = ["numpy"]\n'
CLI = "import sys\n\ndef main():\n    print({!r}, *sys.argv[1:])\n"


def git(root, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root, says):
    (root / "serve" / "cli.py").write_text(CLI.format(says))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", says)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    (root / "serve").mkdir(parents=True)
    (root / "serve" / "__init__.py").touch()
    (root / "pyproject.toml").write_text(PYPROJECT)
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    commit(root, "old")
    return root


def ready(repository, tmp_path, **baseline):
    return prepare(Baseline(**baseline), lambda _: None, root=repository, cache=tmp_path / "cache")


def test_baseline_runs_the_code_of_its_commit(repository, tmp_path):
    old = git(repository, "rev-parse", "HEAD")
    commit(repository, "new")
    contender = ready(repository, tmp_path, ref="HEAD~1")
    done = subprocess.run(
        [*contender.command, "serve", "models"], capture_output=True, text=True, check=True
    )
    assert (contender.commit, done.stdout) == (old, "old serve models\n")


def test_baseline_is_checked_out_once(repository, tmp_path):
    first = ready(repository, tmp_path, ref="HEAD")
    marker = tmp_path / "cache" / first.commit[:12] / "marker"
    marker.touch()
    assert ready(repository, tmp_path, ref="main") == first
    assert marker.exists()


def test_baseline_comes_back_after_its_cache_was_deleted(repository, tmp_path):
    first = ready(repository, tmp_path, ref="HEAD")
    subprocess.run(["rm", "-r", str(tmp_path / "cache")], check=True)
    assert ready(repository, tmp_path, ref="HEAD") == first


def test_resolve_auto_is_where_the_branch_began(repository):
    base = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "feature")
    commit(repository, "one")
    commit(repository, "two")
    assert resolve("auto", repository) == base


def test_resolve_auto_on_the_default_branch_is_the_commit_before(repository):
    base = git(repository, "rev-parse", "HEAD")
    assert resolve("auto", repository) == base
    new = commit(repository, "new")
    assert resolve("auto", repository) == base
    (repository / "pyproject.toml").write_text(PYPROJECT + "\n")
    assert resolve("auto", repository) == new


def test_resolve_says_what_to_do_about_an_unknown_commit(repository):
    with pytest.raises(BaselineError, match="--no-baseline"):
        resolve("nosuch", repository)


def test_installed_baseline_tells_its_version(tmp_path):
    command = tmp_path / "penstock"
    command.write_text(f"#!{sys.executable}\nprint('0.9.0')\n")
    command.chmod(0o755)
    contender = prepare(Baseline(installed=str(command)), lambda _: None)
    assert (contender.version, contender.command) == ("0.9.0", (str(command),))


def test_installed_baseline_that_is_not_there_is_explained():
    with pytest.raises(BaselineError, match="install that release"):
        prepare(Baseline(installed="no-such-penstock"), lambda _: None)
