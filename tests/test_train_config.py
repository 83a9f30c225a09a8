"""Configurations: what is wrong is named by its key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ltsh_deploy.cli.main import main
from ltsh_deploy.errors import ConfigError, InputError, LtshError, UsageError
from ltsh_deploy.skeletons import LTSH15, load_skeleton
from ltsh_deploy.train.config import FORMAT_VERSION, RunConfig
from ltsh_deploy.train.config_file import about_key, blame, dump_config, parse_config, read_config, save_config
from ltsh_deploy.train.network_choice import network_stride
from ltsh_deploy.train.teacher_config import (
    FixedTeacherConfig,
    GroupingConfig,
    GroupTeacherConfig,
    RandomTeacherConfig,
    TeacherNetworkConfig,
    UniformTeacherConfig,
)
from tests.training_data import tiny_config

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
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
        ("teacher: {kind: group, windows: 3}\n", r"no key 'teacher\.windows'", "window"),
        ("teacher: {window: 3}\n", "teacher: kind is missing", ""),
        ("teacher: nobody\n", "teacher: .*'nobody'", ""),
        ("batch: 0\n", "batch: .*greater than or equal to 1, got 0", ""),
        ("batch: many\n", "batch: .*got 'many'", ""),
        ("average: 1\n", "average: .*less than 1, got 1", ""),
        ("optimiser: {lr: .nan}\n", r"optimiser\.lr: .*finite number, got nan", ""),
        ("crop: {zoom: [2, 1]}\n", "crop: zoom must be the smaller bound and the larger", ""),
        ("size: [368]\n", r"size\.?1?: .*", ""),
        ("precision: half\n", "precision: .*got 'half'", ""),
        ("compose: {mosaic: 1.5}\n", r"compose\.mosaic: .*got 1\.5", ""),
        ("3: 4\n", "there is no key '3'", "Keys there: version, seed"),
        ("version: 0\n", "version: .*greater than or equal to 1, got 0", ""),
        ("version: one\n", "version: .*valid integer.*got 'one'", ""),
        ("version: true\n", "version: true and false are no numbers", ""),
        ("batch: true\n", "batch: true and false are no numbers", ""),
        ("crop: {zoom: [true, 2]}\n", r"crop\.zoom: true and false are no numbers", ""),
        ("optimiser: {clip: false}\n", r"optimiser\.clip: true and false are no numbers", ""),
        ("teacher: {kind: group, alpha: true}\n", r"teacher\.alpha: true and false are no numbers", ""),
        ("teacher: {kind: group, network: {hiden: [8, 8]}}\n", r"no key 'teacher\.network\.hiden'", "hidden"),
        ("teacher: fixed\n", r"teacher\.probabilities: Field required", ""),
        ("teacher: {kind: fixed, probabilities: [1, x]}\n", r"teacher\.probabilities\.1: .*got 'x'", ""),
        ("optimiser: {lr: 1.0e+300}\n", r"optimiser\.lr: .*less than or equal", ""),
        ("crop: {target_scale: 1.0e-300}\n", r"crop\.target_scale: .*greater than or equal", ""),
        ("targets: {sigma: 1.0e-200}\n", r"targets\.sigma: .*greater than or equal", ""),
        ("schedule: {factor: 5}\n", r"schedule\.factor: .*less than or equal to 1", ""),
        ("batch: 1000000000000\n", "batch: .*less than or equal", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    path = written(tmp_path, DATA + text)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert re.match(re.escape(f"{path}: ") + f"(there is )?{message}", caught.value.message)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("version", [f"{FORMAT_VERSION + 1}", f"{FORMAT_VERSION + 1}.0", f"'{FORMAT_VERSION + 1}'"])
def test_a_later_version_is_told_whatever_its_type_and_its_new_keys(tmp_path: Path, version: str) -> None:
    said = f"version: is {FORMAT_VERSION + 1}, and this program reads configurations up to version {FORMAT_VERSION}"
    with pytest.raises(InputError, match=said) as caught:
        read_config(written(tmp_path, f"{DATA}version: {version}\nwhat_is_new: 3\n"))
    assert "upgrade" in caught.value.remedy
    with pytest.raises(UsageError, match=said):
        read_config(written(tmp_path, DATA), [f"version={version}"])


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"a": 0.5, "b": 0.4}, "must sum to 1, not 0.9"),
        ({"a": 0.7, "b": 0.7}, "must sum to 1, not 1.4"),
        ({"a": 1.5, "b": -0.5}, "here: data.mix.a: .*less than or equal to 1, got 1.5"),
        ({"a": 1.0, "b": 0}, "here: data.mix.b: .*greater than or equal to .*, got 0"),
        ({"a": True}, "here: data.mix: true and false are no numbers"),
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
        ("batch: 2\nbatch: 3\n", r"has the key 'batch' twice \(line 2\)"),
        ("optimiser:\n  lr: 1\n  lr: 2\n", r"has the key 'lr' twice \(line 3\)"),
        ("a: [\n", r"is not YAML: .* \(line 2\)"),
        ("[1, 2]\n", "is a mapping"),
        ("", "is a mapping"),
        ("x: !!python/object/apply:os.system [ls]\n", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("? [1, 2]\n: 3\n", "is not YAML: found unhashable key"),
        ("a: 2024-13-45\n", "is not YAML: month must be in"),
        ("a: !!int ''\n", "is not YAML"),
        ("a: !!bool x\n", "is not YAML"),
        ("a: !!timestamp x\n", "is not YAML"),
    ],
    ids=range(12),
)
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert re.match(re.escape(f"{path}: ") + f".*{message}", caught.value.message)


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


@pytest.mark.parametrize("text", ["teacher: group\n", "teacher: {kind: group}\n", "teacher: uniform\n", ""])
def test_a_teacher_that_is_named_alone_takes_changes_as_one_that_is_spelled_out(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, DATA + text)
    if "group" in text:
        assert read_config(path, ["teacher.epsilon=0.2"]).teacher == GroupTeacherConfig(epsilon=0.2)
    two = UniformTeacherConfig(groups=GroupingConfig(count=2), window=5)
    assert read_config(path, ["teacher=uniform", "teacher.groups.count=2", "teacher.window=5"]).teacher == two
    with pytest.raises(UsageError, match=r"--set teacher\.kind\.x=1: teacher\.kind is a value"):
        read_config(path, ["teacher=uniform", "teacher.kind.x=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch", "is not key=value"),
        ("=3", "is not key=value"),
        ("optimiser..lr=3", "is not key=value"),
        ("batch.size=3", "batch is a value"),
        ("size=[1", r"the value is not YAML: .* \(line 1\)"),
        ("size={a: 1, a: 2}", r"the value has the key 'a' twice \(line 1\)"),
        ("name=2024-13-45", "the value is not YAML: month must be in"),
        ("optimiser.rate=3", r"there is no key 'optimiser\.rate'"),
        ("optimiser={rate: 3}", r"there is no key 'optimiser\.rate'"),
        ("batch=-1", "batch: .*got -1"),
        ("data.mix.a=0.5", r"data: the parts in mix must sum to 1, not 0\.5"),
        ("crop.zoom=[2, 1]", "crop: zoom must be the smaller bound"),
        ("data=3", "data: .*got 3"),
    ],
)
def test_changes_that_cannot_be_are_refused_and_blamed(tmp_path: Path, override: str, message: str) -> None:
    path = written(tmp_path, DATA + "batch: 8\n")
    with pytest.raises(UsageError) as caught:
        read_config(path, ["steps=3", override])
    assert re.match(re.escape(f"--set {override}: ") + message, caught.value.message)


@pytest.mark.parametrize(
    ("text", "overrides", "kind", "begin"),
    [
        # The file's mistake is the file's, whatever else is changed.
        ("batch: 0\n", ["steps=3"], InputError, "{}: batch"),
        ("batch: 0\nsteps: 0\n", ["batch=4"], InputError, "{}: steps"),
        ("crop: {zoom: [2, 1]}\n", ["crop.mirror=0"], InputError, "{}: crop: zoom"),
        ("crop: {zoom: [2, 1]}\n", ["crop.zoom=[3, 1]"], UsageError, "--set crop.zoom=[3, 1]: crop: zoom"),
        ("batch: 0\n", ["batch=-1"], UsageError, "--set batch=-1: batch"),
        # A change that mends it leaves nothing to complain of, and two that do not fit are both named.
        (
            "",
            ["data.mix.a=0.5", "data.validation=b"],
            UsageError,
            "--set data.mix.a=0.5, --set data.validation=b: data",
        ),
    ],
)
def test_who_set_what_is_wrong_is_told(
    tmp_path: Path, text: str, overrides: list[str], kind: type[LtshError], begin: str
) -> None:
    path = written(tmp_path, DATA + text)
    with pytest.raises(LtshError) as caught:
        read_config(path, overrides)
    assert type(caught.value) is kind
    assert caught.value.message.startswith(begin.format(path))


@pytest.mark.parametrize(
    ("key", "overrides", "kind", "begin"),
    [
        ("size", [], InputError, "c.yaml: size: no"),
        ("size", ["sizes=3"], InputError, "c.yaml: size: no"),
        ("size", ["batch=3", "size=[1, 2]"], UsageError, "--set size=[1, 2]: size: no"),
        (
            "network.config",
            ["network.config.channels=3"],
            UsageError,
            "--set network.config.channels=3: network.config",
        ),
        ("network.config", ["network={}"], UsageError, "--set network={}: network.config"),
        ("network.config", ["network.name=x"], InputError, "c.yaml: network.config"),
    ],
)
def test_what_turns_out_later_is_blamed_likewise(
    key: str, overrides: list[str], kind: type[LtshError], begin: str
) -> None:
    with pytest.raises(LtshError) as caught, blame("c.yaml", overrides), about_key(key):
        raise UsageError("no", "Try another.")
    assert type(caught.value) is kind
    assert caught.value.message.startswith(begin)
    assert caught.value.remedy == "Try another."


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_a_configuration_that_a_run_can_be_made_of(recipe: Path) -> None:
    config = read_config(recipe)
    stride = network_stride(config, load_skeleton(config.skeleton))
    assert stride == 8
    assert read_config(recipe, ["size=[160, 160]"]).size == (160, 160)
    for other in re.findall(r"recipes/(\w+\.yaml)", recipe.read_text(encoding="utf-8")):
        assert ROOT / "recipes" / other in RECIPES


def test_one_recipe_is_of_real_and_synthetic_people_and_has_a_teacher() -> None:
    recipe = ROOT / "recipes" / "mpii_synthetic.yaml"
    config = read_config(recipe)
    assert isinstance(config.teacher, GroupTeacherConfig)
    assert {entry.kind for entry in config.data.sets.values()} == {"mpii", "shards"}
    text = recipe.read_text(encoding="utf-8")
    documents = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("training.md", "evaluation.md")]
    # What is kept from training is what is measured.
    val = config.data.sets["mpii"].options["val"]
    assert f"--only {val}" in text
    assert f"--only {val}" in documents[0]
    assert all("groups_v12.mat" in document for document in documents)
    for command in re.findall(r"^#   (ltsh .*)$", text, re.MULTILINE):
        assert command in documents[0]


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 3


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"network": {"name": "nope"}}, "network.name", "network.name: there is no network 'nope'"),
        ({"network": {"config": {"width": 3}}}, "network.config", "network.config: .*no configuration key 'width'"),
        ({"size": [60, 64]}, "size", r"size: both sides must be multiples of 8, got \[60, 64\]"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_its_key(changes: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        network_stride(tiny_config(**changes), LTSH15)
    assert caught.value.key == key


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
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
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


def test_every_key_of_a_teacher_is_in_its_document() -> None:
    text = (ROOT / "docs" / "teacher.md").read_text(encoding="utf-8").partition("## What to expect")[0]
    rows = {
        name for cell in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`([a-z_]+)`", cell)
    }
    keys = {"groups", "network", "kind"}
    for model in (GroupTeacherConfig, UniformTeacherConfig, FixedTeacherConfig, RandomTeacherConfig):
        assert set(model.model_fields) - keys <= rows
    assert set(GroupingConfig.model_fields) | set(TeacherNetworkConfig.model_fields) <= rows


@pytest.mark.parametrize(
    ("key", "nowhere", "said"),
    [
        ("data.sets.real.path", "/nowhere", "/nowhere: there is no such file or folder check the path"),
        (
            "data.sets.real.path",
            "lspet",
            "lspet: there is no such file or folder check the path; it is looked for from",
        ),
        ("data.sets.real.path", "~no.such.user/set", "~no.such.user/set: there is no such file or folder"),
        ("data.sets.real.path", "/dev/null", "/dev/null: is a device or a pipe"),
        ("init", "/nowhere.safetensors", "/nowhere.safetensors: cannot be read"),
        ("skeleton", "/nowhere.yaml", "/nowhere.yaml: neither a built-in skeleton"),
        ("teacher.network.trunk_weights", "/nowhere.pth", "/nowhere.pth: cannot be read"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_key_whoever_named_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    nowhere: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = tiny_config().model_dump(mode="json")
    if key.startswith("data"):
        whole["data"]["sets"]["real"]["kind"] = "shards"
    if key.startswith("teacher"):
        whole["data"]["mix"] = {"real": 0.5, "synthetic": 0.5}
        whole["teacher"] = {
            "kind": "group",
            "network": {"input_size": 32},
            "groups": {"boundaries": "quantile", "count": 2},
        }
    Path("sound.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert main(["train", "sound.yaml", "--set", f"{key}={nowhere}", "--out", "run"]) == 3
    assert f"{key}: {said}" in " ".join(capsys.readouterr().err.split())
    _set(whole, key, nowhere)
    Path("broken.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert main(["train", "broken.yaml", "--out", "run"]) == 3
    assert f"{key}: {said}" in " ".join(capsys.readouterr().err.split())


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for part in outer:
        data = data[part]
    data[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("size", [60, 64], "size: both sides must be multiples of 8, got [60, 64]"),
        ("precision", "fp16", "precision: fp16 needs a GPU"),
        ("device", "abacus", "device: 'abacus' is none of"),
        ("network.name", "nope", "network.name: there is no network 'nope'"),
        ("network.config", {"nope": 1}, "network.config: network ltsh_light has no configuration key 'nope'"),
        ("frozen_convolutions", 1000, "frozen_convolutions: 1000 cannot be"),
        ("data.sets.real.kind", "nope", "data.sets.real: there is no kind of data set 'nope'"),
        ("data.sets.real.options", {"licence": 2011}, "data.sets.real: licence must be text, got 2011"),
        ("optimiser.rate", 3, "there is no key 'optimiser.rate'"),
        ("data.mix.real", 0.5, "data: the parts in mix must sum to 1"),
        ("version", "2", "version: is 2"),
    ],
)
def test_the_exit_code_says_where_the_mistake_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any, said: str
) -> None:
    whole = tiny_config().model_dump(mode="json")
    sound = tmp_path / "sound.yaml"
    sound.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert main(["train", str(sound), "--set", f"{key}={json.dumps(value)}", "--out", str(tmp_path / "run")]) == 2
    assert f"--set {key}={json.dumps(value)}: {said}" in " ".join(capsys.readouterr().err.split())
    _set(whole, key, value)
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert main(["train", str(broken), "--set", "steps=2", "--out", str(tmp_path / "run")]) == 3
    assert f"broken.yaml: {said}" in " ".join(capsys.readouterr().err.split())
