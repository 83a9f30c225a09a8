"""YAML gives a value or a ValueError, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ltsh_deploy.yaml_text import parse_yaml, read_yaml

TAGS = (
    "int",
    "float",
    "bool",
    "null",
    "timestamp",
    "binary",
    "str",
    "map",
    "seq",
    "set",
    "omap",
    "pairs",
    "merge",
    "x",
)
VALUES = ("", "x", "''", "1_", "[a]", "[[a]]", "{a: b}", "[{a: b}]", "&a [*a]", "{? [a] : b}", "{<<: [5]}", '"\\xff"')
PLACES = ("k: {}", "? {}\n: 1", "{{<<: {}}}", "[{}")


def problem(text: str) -> str:
    """What is wrong with a text, which is said in one line; empty where nothing is."""
    try:
        parse_yaml(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("tag", TAGS)
def test_tagged_values_that_cannot_be_are_told(tag: str) -> None:
    told = {problem(place.format(f"!!{tag} {value}")) for value in VALUES for place in PLACES}
    assert len(told) > 1
    assert all(text.startswith("is not YAML: ") and "\n" not in text for text in told if text)


@example("a: 1\nb: {c: 1, c: 2}")
@given(st.text(st.sampled_from("ab1:,[]{}!&*<?-'\"# \n\t\0"), max_size=30))
def test_any_text_gives_a_value_or_what_is_wrong(text: str) -> None:
    assert problem(text).startswith(("is not YAML: ", "has the key ")) or not problem(text)


def test_a_key_that_stands_twice_is_named() -> None:
    assert parse_yaml("a: {b: 1}\nc: {b: 2}") == {"a": {"b": 1}, "c": {"b": 2}}
    assert problem("a:\n  b: 1\n  b: 2") == "has the key 'b' twice (line 3)"


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: Müller", encoding="utf-8")
    assert read_yaml(path) == {"name": "Müller"}
    path.write_bytes("name: Müller".encode("latin-1"))
    with pytest.raises(ValueError, match="is not YAML: it is not text in UTF-8"):
        read_yaml(path)
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "b.yaml")
