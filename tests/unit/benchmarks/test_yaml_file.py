"""YAML files that people write: what a wrong one is told."""

import pytest

from benchmarks.yaml_file import YamlFileError, override, read_mapping


def test_read_mapping_names_the_line_that_is_not_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [\n")
    with pytest.raises(YamlFileError, match=r"x\.yaml:3: not YAML"):
        read_mapping(path)


@pytest.mark.parametrize(("text", "words"), [("- a\n", "not a mapping"), ("a: \xff", "not UTF-8")])
def test_read_mapping_refuses_what_is_no_mapping(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(YamlFileError, match=words):
        read_mapping(path)


def test_override_makes_the_groups_on_its_way():
    assert override({}, ["a.b.c=[1, x]"]) == {"a": {"b": {"c": [1, "x"]}}}
