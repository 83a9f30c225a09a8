"""Configurations: what is wrong is named by its key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.train.config import FORMAT_VERSION, RunConfig
from ltsh_deploy.train.config_file import dump_config, parse_config, read_config, save_config
from tests.training_data import tiny_config

DATA = "data: {sets: {a: {kind: shards, path: x}}, mix: {a: 1}}\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("optimizer: {lr: 1}\n", "no key 'optimizer'", "optimiser"),
        ("optimiser: {learning_rate: 1}\n", r"no key 'optimiser\.learning_rate'", "lr"),
        ("crop: {rotations: 3}\n", r"no key 'crop\.rotations'", "rotation"),
        ("teacher: {kind: group, windows: 3}\n", "windows", "window"),
        ("teacher: {window: 3}\n", "kind is missing", ""),
        ("teacher: nobody\n", "teacher", ""),
        ("batch: 0\n", "batch: .*greater than or equal to 1, got 0", ""),
        ("batch: many\n", "batch: .*got 'many'", ""),
        ("average: 1\n", "average", ""),
        ("optimiser: {lr: .nan}\n", r"optimiser\.lr", ""),
        ("crop: {zoom: [2, 1]}\n", "crop: zoom must be the smaller bound and the larger", ""),
        ("size: [368]\n", "size", ""),
        ("precision: half\n", "precision", ""),
        ("compose: {mosaic: 1.5}\n", r"compose\.mosaic", ""),
        ("3: 4\n", "3", ""),
        (f"version: {FORMAT_VERSION + 1}\n", "format version 2; this program reads up to 1", "upgrade"),
        ("version: 0\n", "version", ""),
        ("version: one\n", "version", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    path = written(tmp_path, DATA + text)
    with pytest.raises(InputError, match=message) as caught:
        read_config(path)
    assert str(path) in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"a": 0.5, "b": 0.4}, "must sum to 1, not 0.9"),
        ({"a": 0.7, "b": 0.7}, "must sum to 1, not 1.4"),
        ({"a": 1.5, "b": -0.5}, "greater than 0"),
        ({"a": 1.0, "b": 0}, "greater than 0"),
        ({}, "must sum to 1, not 0"),
        ({"a": 0.5, "c": 0.5}, "no data set 'c' among sets: a, b"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(mix: dict[str, float], message: str) -> None:
    sets = {name: {"kind": "shards", "path": name} for name in "ab"}
    with pytest.raises(InputError, match=message):
        parse_config({"data": {"sets": sets, "mix": mix}}, "here")


def test_thirds_sum_to_one() -> None:
    sets = {name: {"kind": "shards", "path": name} for name in "abc"}
    config = parse_config({"data": {"sets": sets, "mix": dict.fromkeys("abc", 0.3333333333)}}, "here")
    assert list(config.data.mix) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch: 2\nbatch: 3\n", "batch is there twice"),
        ("optimiser:\n  lr: 1\n  lr: 2\n", "lr is there twice"),
        ("a: [\n", "is not YAML"),
        ("[1, 2]\n", "is a mapping"),
        ("", "is a mapping"),
        ("x: !!python/object/apply:os.system [ls]\n", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("? [1, 2]\n: 3\n", "."),
    ],
    ids=range(8),
)
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_config(tmp_path / "x.yaml")


def test_values_can_be_changed_from_outside(tmp_path: Path) -> None:
    path = written(tmp_path, DATA + "optimiser: {lr: 1}\n")
    config = read_config(
        path, ["optimiser.lr=1e-3", "size=[64, 32]", "teacher.kind=uniform", "data.mix.a=1.0", "init=null"]
    )
    assert (config.optimiser.lr, config.size, config.init) == (0.001, (64, 32), None)
    assert config.teacher is not None
    assert config.teacher.kind == "uniform"


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("batch", UsageError, "is not key=value"),
        ("=3", UsageError, "is not key=value"),
        ("optimiser..lr=3", UsageError, "is not key=value"),
        ("batch.size=3", UsageError, "batch is a value"),
        ("size=[1", UsageError, "not YAML"),
        ("size={a: 1, a: 2}", UsageError, "not YAML"),
        ("optimiser.rate=3", InputError, r"no key 'optimiser\.rate'"),
        ("batch=-1", InputError, "batch"),
    ],
)
def test_changes_that_cannot_be_are_refused(tmp_path: Path, override: str, kind: type[Exception], message: str) -> None:
    path = written(tmp_path, DATA + "batch: 8\n")
    with pytest.raises(kind, match=message):
        read_config(path, [override])


def test_a_saved_configuration_is_read_as_it_was(tmp_path: Path) -> None:
    config = tiny_config(teacher={"kind": "fixed", "groups": {"count": 2}, "probabilities": [0.5, 0.5]})
    save_config(tmp_path / "c.yaml", config)
    assert read_config(tmp_path / "c.yaml") == config
    assert yaml.safe_load(dump_config(config))["validation"]["people"] is None


def leaves(model: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to their defaults; of a key with keys of its own, those."""
    found = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            found |= leaves(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def test_every_key_is_in_the_document_with_its_default() -> None:
    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    table = text.partition("| key | default | |\n")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]*) \|", table, re.MULTILINE))
    keys = leaves(RunConfig)
    assert set(rows) == set(keys)
    for key, field in keys.items():
        if field.is_required():
            assert not rows[key].strip(), key
        else:
            default = field.get_default(call_default_factory=True)
            shown = rows[key].strip("`")
            assert yaml.safe_load(shown) == (list(default) if isinstance(default, tuple) else default), key
