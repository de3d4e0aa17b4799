"""The file of the traffic rules: what survives, and what is said where it cannot be used."""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from serve.errors import RepositoryError, Unavailable
from serve.traffic.state import Audit, ModelState, Rollout, RolloutStatus, TrafficState
from serve.traffic.store import StaleError, Store

NOBODY = 65534


def state_of(stable: int) -> ModelState:
    return ModelState(labels={"stable": stable}, basis="b")


def line_of(before: int, after: int, model: str = "m") -> Audit:
    return Audit(
        number=0,
        time_s=1.5,
        who="ann",
        model=model,
        what="set label",
        why="because",
        before=state_of(before),
        after=state_of(after),
    )


def written(store: Store, revision: int, stable: int, model: str = "m") -> Audit:
    line = line_of(stable - 1, stable, model)
    return store.commit(revision, line.after, line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "rules.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


def test_store_has_no_file_before_the_first_change(store: Store, path: Path) -> None:
    assert store.load() == TrafficState()
    assert store.audit() == []
    assert store.lease("me", 0.0, 10.0)
    assert not store.changed()
    assert not path.exists()


def test_store_gives_back_what_was_written(store: Store, path: Path) -> None:
    rollout = Rollout(
        version=4,
        stable=3,
        steps=(1.0, 100.0),
        hold_s=5.0,
        status=RolloutStatus.HOLDING,
        step=1,
        holds=3,
        guards={"max_p99_ratio": 2.0},
    )
    state = ModelState(labels={"stable": 3}, traffic={"salt": "x"}, rollout=rollout, basis="b")
    line = msgspec.structs.replace(line_of(2, 3), after=state)
    assert store.commit(0, state, line).number == 1
    store.close()
    again = Store(path)
    assert again.load() == TrafficState(revision=1, models={"m": state})
    assert again.audit() == [msgspec.structs.replace(line, number=1)]
    again.close()


def test_store_is_for_its_owner_alone(store: Store, path: Path) -> None:
    written(store, 0, 2)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = list(path.parent.iterdir())
    assert [file.name for file in files] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_store_forgets_a_model_that_is_as_model_yaml_says(store: Store) -> None:
    written(store, 0, 2)
    store.commit(1, None, line_of(2, 3))
    assert store.load() == TrafficState(revision=2)


def test_audit_is_by_model_newest_first_and_in_pages(store: Store) -> None:
    for revision, model in enumerate(["a", "b", "a", "a"]):
        written(store, revision, revision + 2, model)
    assert [line.number for line in store.audit()] == [4, 3, 2, 1]
    assert [line.number for line in store.audit("a")] == [4, 3, 1]
    assert [line.number for line in store.audit("a", limit=1, before=4)] == [3]


def test_change_of_rules_that_are_no_more_is_refused(store: Store, path: Path) -> None:
    written(store, 0, 2)
    other = Store(path)
    assert other.load().revision == 1
    written(other, 1, 3)
    with pytest.raises(StaleError):
        written(store, 1, 9)
    assert store.load().of("m") == state_of(3)
    assert len(store.audit()) == 2
    other.close()


def test_change_of_another_process_is_noticed_once(store: Store, path: Path) -> None:
    other = Store(path)
    assert other.load() == TrafficState()
    written(store, 0, 2)
    assert store.load().revision == 1
    assert other.changed()
    assert other.load().revision == 1
    assert not other.changed()
    written(store, 1, 3)
    assert other.changed()
    assert not other.changed()
    assert not store.changed()
    other.close()


def test_lease_is_of_one_until_it_ends(store: Store, path: Path) -> None:
    written(store, 0, 2)
    other = Store(path)
    assert store.lease("one", 100.0, 10.0)
    assert not other.lease("two", 101.0, 10.0)
    assert store.lease("one", 106.0, 10.0)
    assert not other.lease("two", 111.0, 10.0)
    assert other.lease("two", 116.5, 10.0)
    assert not store.lease("one", 117.0, 10.0)
    other.close()


def test_lease_of_a_clock_that_was_put_back_is_none(store: Store, path: Path) -> None:
    written(store, 0, 2)
    other = Store(path)
    assert store.lease("one", 1e9, 10.0)
    assert other.lease("two", 100.0, 10.0)
    other.close()


def test_file_of_a_newer_release_is_refused(store: Store, path: Path) -> None:
    written(store, 0, 2)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RepositoryError, match=r"rules\.sqlite3: is of a newer release.*--state"):
        Store(path).load()


def test_file_of_other_software_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(RepositoryError, match="of other software"):
        Store(path).load()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"these are no rules\n" * 400, b"SQLite format 3\0" + b"x" * 9]
)
def test_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = Store(path)
    with pytest.raises(RepositoryError, match=r"is damaged.*\(restore the file"):
        store.load()
    with pytest.raises((RepositoryError, Unavailable)):
        written(store, 0, 2)
    assert path.read_bytes() == content


def test_empty_file_is_what_a_crash_leaves_before_the_first_change(
    store: Store, path: Path
) -> None:
    path.parent.mkdir()
    path.touch()
    assert store.load() == TrafficState()
    written(store, 0, 2)
    assert store.load().revision == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"labels": 3}', "is damaged"),
        ('{"traffic": {"new_field": 1}}', "rules of 'm' that this release does not know"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(
    store: Store, path: Path, text: str, problem: str
) -> None:
    written(store, 0, 2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE model SET state = ?", (text,))
    with pytest.raises(RepositoryError, match=problem):
        store.load()


def test_file_that_is_a_folder_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    store = Store(path)
    with pytest.raises(RepositoryError, match="cannot be read"):
        store.load()
    with pytest.raises(Unavailable, match=r"nothing is changed.*--state"):
        written(store, 0, 2)


def test_removed_file_is_no_reason_to_drop_rules(store: Store, path: Path) -> None:
    written(store, 0, 2)
    kept = path.with_name("kept")
    path.rename(kept)
    assert not store.changed()
    with pytest.raises(RepositoryError, match="it was removed; put it back"):
        store.load()
    with pytest.raises(Unavailable, match="it was removed; put it back"):
        written(store, 1, 3)
    kept.rename(path)
    assert store.changed()
    assert store.load().revision == 1
    written(store, 1, 3)
    assert store.load().of("m") == state_of(3)


def test_file_that_was_replaced_is_followed(store: Store, path: Path) -> None:
    written(store, 0, 2)
    backup = Store(path.with_name("backup"))
    written(backup, 0, 7)
    written(backup, 1, 8)
    backup.close()
    backup.path.replace(path)
    assert store.changed()
    assert store.load() == TrafficState(revision=2, models={"m": state_of(8)})
    written(store, 2, 9)
    assert store.load().of("m") == state_of(9)


def test_full_disk_refuses_a_change_and_keeps_the_rules(store: Store, path: Path) -> None:
    written(store, 0, 2)
    assert store._open is not None
    pages = store._open.execute("PRAGMA page_count").fetchone()[0]
    store._open.execute(f"PRAGMA max_page_count = {pages}")
    large = msgspec.structs.replace(line_of(2, 3), why="x" * 200_000)
    with pytest.raises(Unavailable, match=r"rules\.sqlite3 cannot be written: .*full.*--state"):
        store.commit(1, large.after, large)
    assert store.load() == TrafficState(revision=1, models={"m": state_of(2)})
    assert len(store.audit()) == 1
    written(store, 1, 3)  # there is room again


LIMITED = """
import resource, sys
from pathlib import Path
from tests.unit.serve.traffic.test_store import written
from serve.errors import Unavailable
from serve.traffic.store import Store

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
store = Store(Path(sys.argv[1]))
revision, refused = store.load().revision, 0
for _ in range(60):
    try:
        written(store, revision, revision + 2)
        revision += 1
    except Unavailable:
        refused += 1
        assert store.load().revision == revision
print(revision, refused)
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
    )


def test_writes_that_fail_midway_leave_what_was_answered(store: Store, path: Path) -> None:
    written(store, 0, 2)
    store.close()
    done = python(LIMITED, path, path.stat().st_size + 4096)
    assert done.returncode == 0, done.stderr
    revision, refused = map(int, done.stdout.split())
    assert refused > 0
    assert store.load() == TrafficState(revision=revision, models={"m": state_of(revision + 1)})
    assert len(store.audit()) == revision


CHANGING = """
import sys
from pathlib import Path
from tests.unit.serve.traffic.test_store import written
from serve.traffic.store import Store

store = Store(Path(sys.argv[1]))
revision = store.load().revision
while True:
    written(store, revision, revision + 2)
    revision += 1
    print(revision, flush=True)
"""


def test_killed_at_any_moment_rules_and_log_agree(path: Path) -> None:
    promised = 0
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", CHANGING, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        assert process.stdout is not None
        for _ in range(3 + 7 * kill):
            promised = int(process.stdout.readline())
        process.kill()
        with process.stdout:
            rest = process.stdout.read().split("\n")
        process.wait()
        promised = max([promised, *(int(line) for line in rest[:-1])])
        store = Store(path)
        state, audit = store.load(), store.audit(limit=10_000)
        store.close()
        assert state.revision in (promised, promised + 1)
        assert [line.number for line in audit] == list(range(state.revision, 0, -1))
        assert state.of("m") == audit[0].after == state_of(state.revision + 1)
        assert all(newer.before == older.after for newer, older in itertools.pairwise(audit))


CONTENDING = """
import sys
from pathlib import Path
from tests.unit.serve.traffic.test_store import line_of
from serve.traffic.store import StaleError, Store

store, model = Store(Path(sys.argv[1])), sys.argv[2]
for version in range(2, 27):
    line = line_of(version - 1, version, model)
    while True:
        try:
            store.commit(store.load().revision, line.after, line)
        except StaleError:
            continue
        break
"""


def test_processes_that_contend_lose_no_change(store: Store, path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDING, str(path), name], cwd=Path(__file__).parents[4]
        )
        for name in ("a", "b")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert store.load() == TrafficState(revision=50, models={"a": state_of(26), "b": state_of(26)})
    for name in ("a", "b"):
        lines = reversed(store.audit(name))
        assert [line.after for line in lines] == [state_of(version) for version in range(2, 27)]


@pytest.fixture
def unwritable(store: Store) -> Iterator[Path]:
    """A file in a folder that this process may read, and not write to."""
    with tempfile.TemporaryDirectory() as name:
        folder, me = Path(name), os.geteuid()
        other = Store(folder / "rules.sqlite3")
        written(other, 0, 2)
        other.close()
        other.path.chmod(0o444)
        folder.chmod(0o555)
        if me == 0:  # whom permissions do not stop
            os.seteuid(NOBODY)
        yield other.path
        os.seteuid(me)
        folder.chmod(0o755)


def test_rules_on_a_disk_that_cannot_be_written_to_are_read(unwritable: Path) -> None:
    store = Store(unwritable)
    assert store.load() == TrafficState(revision=1, models={"m": state_of(2)})
    assert not store.changed()
    assert store.lease("me", 0.0, 10.0)
    with pytest.raises(Unavailable, match=r"nothing is changed.*--state"):
        written(store, 1, 3)
    assert store.load().of("m") == state_of(2)
    assert [line.number for line in store.audit()] == [1]
    store.close()
