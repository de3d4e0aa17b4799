"""The file of keys: what is taken, and what each thing that is wrong with it is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.transport.admin.keys import KeyRing, add_key, make_key, read_keys


def keys_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_new_key_is_known_once_its_line_is_in_the_file(tmp_path):
    new = make_key("ci")
    ring = read_keys(keys_file(tmp_path, f"{make_key('other').line}\n{new.line}\n"))
    assert ring.name_of(new.secret.encode()) == "ci"
    assert new.secret not in new.line
    assert ring.name_of(new.secret[:-1].encode()) == ""


def test_new_keys_differ():
    assert make_key("ci").secret != make_key("ci").secret


def test_secret_may_stand_in_the_file_as_it_is(tmp_path):
    ring = read_keys(keys_file(tmp_path, "ci: a-secret-of-my-own\n"))
    assert ring.name_of(b"a-secret-of-my-own") == "ci"


def test_nobody_has_the_empty_key():
    assert KeyRing({}).name_of(b"") == ""


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644])
def test_file_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = keys_file(tmp_path, make_key("ci").line, mode)
    with pytest.raises(RepositoryError, match=f"has mode {mode:04o}.*chmod 600"):
        read_keys(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no keys"),
        ("- a", "has no keys"),
        ("ci: short", "ci: a secret has 16 to 512"),
        ("ci: has a space in its middle", "ci: a secret has 16 to 512"),
        ("ci: 12345678901234567890", "ci: should be text"),
        ("ci: sha256:abc", "ci: sha256: should be followed by 64 digits"),
        ("a@b: secret-secret-secret", "is no name of a key"),
        ("penstock: secret-secret-secret", "is the server itself"),
        ("a: secret-secret-secret\nb: secret-secret-secret", "two names have the same key"),
        ("a: x\nb: 'secret-with-no-end", "is no YAML at line"),
        ("a: 1\na: 2", "is no YAML at line 2"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(tmp_path, text, said):
    with pytest.raises(RepositoryError, match=said) as raised:
        read_keys(keys_file(tmp_path, text))
    assert "penstock admin-key NAME" in str(raised.value)
    assert "secret-" not in str(raised.value)


def test_file_that_is_not_there_is_said():
    with pytest.raises(RepositoryError, match="cannot be read: No such file"):
        read_keys(Path("/nowhere/keys.yaml"))


def test_folder_is_no_file(tmp_path):
    with pytest.raises(RepositoryError, match="is no file"):
        read_keys(tmp_path)


def test_bytes_that_are_no_text_are_said(tmp_path):
    path = tmp_path / "keys.yaml"
    path.write_bytes(b"ci: \xff")
    path.chmod(0o600)
    with pytest.raises(RepositoryError, match="it is not UTF-8"):
        read_keys(path)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "Ünal", "a\n"])
def test_name_that_is_none_makes_no_key(name):
    with pytest.raises(ValueError, match="is no name of a key"):
        make_key(name)


def test_key_is_added_to_a_file_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "keys.yaml"
    first, second = make_key("a"), make_key("b")
    add_key(path, first)
    path.write_text(f"# ours\n{first.line}")  # and no end of the line
    add_key(path, second)
    assert path.read_text() == f"# ours\n{first.line}\n{second.line}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path).name_of(second.secret.encode()) == "b"


def test_key_of_a_name_that_is_there_changes_nothing(tmp_path):
    path = tmp_path / "keys.yaml"
    add_key(path, make_key("a"))
    before = path.read_text()
    with pytest.raises(RepositoryError, match="is no YAML at line 2"):
        add_key(path, make_key("a"))
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["keys.yaml"]


def test_key_is_not_added_where_nothing_can_be_written():
    with pytest.raises(RepositoryError, match="cannot be written: No such file"):
        add_key(Path("/nowhere/keys.yaml"), make_key("a"))
