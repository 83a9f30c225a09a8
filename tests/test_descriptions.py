"""What a model file says of itself, in its metadata or beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.description_messages import EXAMPLES
from ltsh_deploy.description_template import TensorInfo, yaml_template
from ltsh_deploy.descriptions import InputSpec, MapsSpec, ModelDescription, find_description
from ltsh_deploy.errors import LtshError, ModelFileError
from ltsh_deploy.skeletons import COCO18, SKELETONS, Skeleton

SHIPPED = Path(__file__).parent.parent / "ltsh_deploy" / "assets" / "models"

GOOD: dict[str, Any] = {
    "skeleton": "coco18",
    "stride": 8,
    "size": [432, 368],
    "input": {"name": "image"},
    "heatmaps": {"name": "heatmaps"},
    "pafs": {"name": "pafs"},
}


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
    joints = range(len(names))
    pairs = draw(st.lists(st.tuples(st.sampled_from(joints), st.sampled_from(joints)), max_size=6))
    limbs = {frozenset(pair): pair for pair in pairs if pair[0] != pair[1]}
    sigmas = st.floats(0.001, 10)
    return Skeleton(
        draw(st.text(max_size=8)), tuple(names), tuple(limbs.values()), (), tuple(draw(sigmas) for _ in names)
    )


@st.composite
def descriptions(draw: st.DrawFn) -> ModelDescription:
    skeleton = draw(st.one_of(st.sampled_from(list(SKELETONS.values())), skeletons()))
    stride = draw(st.integers(1, 64))
    side = st.integers(1, 40).map(lambda cells: cells * stride)
    number = st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3)
    scaling = {"dtype": "float32", "scale": draw(number), "mean": draw(number), "std": (1.0, 2.0, draw(number))}
    text = st.text(max_size=20)

    def maps(prefix: str, count: int) -> MapsSpec:
        channels = draw(st.none() | st.permutations(range(count)).map(tuple))
        return MapsSpec(
            name=prefix + draw(text), layout=draw(st.sampled_from(["NCHW", "NHWC"])), channels=channels or None
        )

    return ModelDescription(
        skeleton=skeleton,
        stride=stride,
        size=(draw(side), draw(side)),
        input=InputSpec(
            name=draw(text),
            layout=draw(st.sampled_from(["NCHW", "NHWC"])),
            colour=draw(st.sampled_from(["RGB", "BGR"])),
            **(scaling if draw(st.booleans()) else {}),
        ),
        heatmaps=maps("h", skeleton.num_joints + draw(st.integers(0, 1))),
        pafs=maps("p", 2 * skeleton.num_limbs),
        network=draw(text),
        training_data=draw(text),
        licence=draw(text),
        notes=draw(text),
    )


@settings(derandomize=True, deadline=None)
@given(
    descriptions(),
    st.dictionaries(st.text(max_size=5).filter(lambda key: not key.startswith("ltsh.")), st.text(max_size=5)),
)
def test_metadata_brings_back_what_was_put_in(description: ModelDescription, foreign: dict[str, str]) -> None:
    metadata = description.to_metadata()
    assert all(isinstance(value, str) for value in metadata.values())
    assert ModelDescription.from_metadata({**foreign, **metadata}, "x.onnx") == description


def test_metadata_is_what_the_standard_and_other_programs_expect() -> None:
    metadata = ModelDescription(**{**GOOD, "skeleton": COCO18}).to_metadata()
    assert metadata["Image.BitmapPixelFormat"] == "Rgb8"
    assert metadata["Image.NominalPixelRange"] == "NominalRange_0_255"
    skeleton = json.loads(metadata["ltsh.skeleton"])
    assert skeleton["joints"] == list(COCO18.joints)
    assert skeleton["limbs"][0] == ["neck", "right_shoulder"]
    assert skeleton["flip_pairs"]
    assert len(skeleton["sigmas"]) == 18
    assert json.loads(metadata["ltsh.stride"]) == 8
    assert json.loads(metadata["ltsh.resize"]) == "fit, keep aspect, pad right and bottom with 128"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ltsh.version", "2", "format version 2; this program reads up to 1"),
        ("ltsh.version", "0", "ltsh.version is missing or wrong"),
        ("ltsh.version", "true", "ltsh.version is missing or wrong"),
        ("ltsh.version", None, "ltsh.version is missing or wrong"),
        ("ltsh.stride", "eight", "ltsh.stride is not JSON"),
        ("ltsh.stride", "[" * 100_000, "ltsh.stride is not JSON"),
        ("ltsh.stride", None, "stride is missing"),
        ("ltsh.skeleton", "[]", "ltsh.skeleton"),
        ("ltsh.skeleton", None, "skeleton is missing"),
        ("ltsh.size", "[431, 368]", "size: [431, 368] must be positive multiples of the stride, 8"),
        ("ltsh.resize", '"stretch"', "resize: "),
        ("ltsh.unheard_of", "1", "there is no key 'unheard_of'; keys are skeleton, stride"),
    ],
)
def test_wrong_metadata_is_named(key: str, value: str | None, message: str) -> None:
    metadata = ModelDescription(**{**GOOD, "skeleton": COCO18}).to_metadata()
    metadata.pop(key, None)
    if value is not None:
        metadata[key] = value
    with pytest.raises(LtshError) as caught:
        ModelDescription.from_metadata(metadata, "net.onnx")
    assert message in caught.value.message
    assert "net.onnx" in caught.value.message


def write(folder: Path, data: object, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def test_yaml_skeleton_may_be_a_name_a_file_or_a_mapping(tmp_path: Path) -> None:
    own = {"name": "arm", "joints": ["shoulder", "elbow"], "limbs": [["shoulder", "elbow"]]}
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", own, "arm.yaml")
    by_name = ModelDescription.from_yaml(write(tmp_path, {**GOOD, "skeleton": "COCO18"}))
    by_file = ModelDescription.from_yaml(write(tmp_path, {**GOOD, "skeleton": "below/arm.yaml"}))
    inline = ModelDescription.from_yaml(write(tmp_path, {**GOOD, "skeleton": own}))
    assert by_name.skeleton == COCO18
    assert by_file.skeleton == inline.skeleton == Skeleton.from_dict(own)


def test_yaml_shorthands(tmp_path: Path) -> None:
    data = {
        **GOOD,
        "input": {"name": "x", "dtype": "float32", "scale": 0.5, "mean": 1, "std": [1, 2, 4]},
        "heatmaps": {"name": "y", "channels": "0-18"},
        "pafs": {"name": "y", "channels": "19 - 56"},
    }
    description = ModelDescription.from_yaml(write(tmp_path, data))
    assert description.input.mean == (1.0, 1.0, 1.0)
    assert description.input.std == (1.0, 2.0, 4.0)
    assert description.heatmaps.channels == tuple(range(19))
    assert description.pafs.channels == tuple(range(19, 57))


def changed(**changes: object) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(skeleton=None), "skeleton is missing; write coco18"),
        (changed(skeleton="coco19"), "neither a built-in skeleton"),
        (changed(skeleton=7), "skeleton: a skeleton is a mapping"),
        (changed(skeleton={"joints": ["a"], "limbs": [["a", "b"]]}), "unknown joint 'b'"),
        (changed(stride=0), "stride: "),
        (changed(stride="many"), "stride: "),
        (changed(size=[432]), "size: its value cannot stand here"),
        (changed(size=[0, 8]), "size: "),
        (changed(size=[430, 368]), "multiples of the stride, 8"),
        (changed(size=[8 << 20, 8]), "size: "),
        (changed(input="image"), "input: "),
        (changed(input={"name": "x", "layout": "HWC"}), "input.layout: 'HWC' cannot stand here; write NHWC or NCHW"),
        (changed(input={"name": "x", "dtype": "int8"}), "write uint8, float32 or float16"),
        (changed(input={"name": "x", "colour": "GREY"}), "input.colour: 'GREY' cannot stand here; write RGB or BGR"),
        (changed(input={"name": "x", "color": "BGR"}), "there is no key 'input.color'; did you mean colour?"),
        (changed(input={"name": "x", "dtype": "float32", "std": 0}), "input: scale and std must not be 0"),
        (changed(input={"name": "x", "dtype": "float32", "scale": float("nan")}), "input.scale: nan cannot stand here"),
        (
            changed(input={"name": "x", "dtype": "float32", "mean": [1, 2]}),
            "input.mean: its value cannot stand here; write 0.5 or [0.485",
        ),
        (changed(input={"name": "x", "scale": 0.5}), "input: a uint8 input takes plain pixels"),
        (
            changed(heatmaps={"name": "y", "channels": "0-16"}),
            "heatmaps: 17 channels, but skeleton coco18 needs 18",
        ),
        (changed(pafs={"name": "y", "channels": [1, 2]}), "pafs: 2 channels, but skeleton coco18 needs 38"),
        (
            changed(pafs={"name": "y", "channels": [1, 1]}),
            "pafs.channels: channels are numbered",
        ),
        (changed(pafs={"name": "y", "channels": [-1]}), "pafs.channels: "),
        (changed(pafs={"name": "y", "channels": []}), "pafs.channels: "),
        (
            changed(pafs={"name": "y", "channels": "all"}),
            "pafs.channels: must be a list",
        ),
        (changed(pafs={"name": "y", "channels": "0-999999999999"}), "pafs.channels: "),
        (changed(pafs={"name": "y", "channels": "18-0"}), "pafs.channels: "),
        (changed(resize="stretch"), "resize: "),
        (changed(colour="RGB"), "there is no key 'colour'"),
        (changed(size=368), "size: 368 cannot stand here; write [432, 368] (width and height, in pixels)"),
        (changed(pafs={"name": "y", "channels": 19}), "pafs.channels: 19 cannot stand here; write 0-18 or [0, 1, 2]"),
        (changed(stride=None, licence=3), "stride is missing; write 8 (1 to 64); licence: 3 cannot stand here"),
        (changed(heatmaps={"name": "y"}, pafs={"name": "y"}), "heatmaps and pafs take the same channels of output 'y'"),
        (
            changed(heatmaps={"name": "y", "channels": "0-18"}, pafs={"name": "y", "channels": "18-55"}),
            "heatmaps and pafs take the same channels of output 'y'",
        ),
        ("stride: 8\nsize: [8, 8]\nstride: 4", "has the key 'stride' twice (line 3)"),
        ("input: {name: a, name: b}", "has the key 'name' twice (line 1)"),
        ("- a list", "a model description is a mapping"),
        ("", "a model description is a mapping"),
        ("1: 2", "a model description is a mapping"),
        ("a: [", "is not YAML"),
        ("\t", "is not YAML"),
        ("[" * 20_000, "is not YAML"),
        ("{[1]: 2}", "is not YAML"),
        ("stride: !!int ''", "is not YAML"),
        ("stride: !!bool x", "is not YAML"),
        ("stride: !!timestamp x", "is not YAML"),
        ("input: !!map [a]", "is not YAML"),
        ("skeleton: &a [*a]", "skeleton: a skeleton is a mapping"),
    ],
)
def test_wrong_yaml_is_named(tmp_path: Path, data: object, message: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(LtshError) as caught:
        ModelDescription.from_yaml(path)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 3


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, message in (("none.yaml", "No such file"), ("binary.yaml", "is not YAML")):
        with pytest.raises(ModelFileError, match=message):
            ModelDescription.from_yaml(tmp_path / name)


def test_metadata_come_before_yaml_and_yaml_before_the_shipped_ones(tmp_path: Path) -> None:
    model = tmp_path / "net.v2.onnx"
    model.write_bytes(b"anything")
    foreign = {"author": "somebody"}
    for name in ("net.v2.onnx.yaml", "net.v2.yml", "net.v2.yaml"):
        write(tmp_path, {**GOOD, "network": name}, name)
        assert find_description(model, foreign).network == name
    own = ModelDescription(**{**GOOD, "skeleton": COCO18, "network": "itself"})
    assert find_description(model, {**foreign, **own.to_metadata()}).network == "itself"


def test_metadata_of_ours_without_a_version_is_an_error_whatever_lies_beside(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(b"anything")
    write(tmp_path, GOOD)
    metadata = ModelDescription(**{**GOOD, "skeleton": COCO18}).to_metadata()
    del metadata["ltsh.version"]
    for damaged in (metadata, {"ltsh.stride": "8"}):
        with pytest.raises(ModelFileError, match=r"ltsh\.version is missing or wrong"):
            find_description(model, damaged)


def test_every_key_has_an_example() -> None:
    keys = {"skeleton", *ModelDescription.model_fields}
    for part, spec in (("input", InputSpec), ("heatmaps", MapsSpec), ("pafs", MapsSpec)):
        keys |= {f"{part}.{key}" for key in spec.model_fields}
    assert set(EXAMPLES) == keys


def test_a_model_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"net\.onnx: cannot be read \(No such file"):
        find_description(tmp_path / "net.onnx", {})


def test_yaml_may_be_bound_to_a_file_by_its_hash(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(b"anything")
    digest = hashlib.sha256(b"anything").hexdigest()
    write(tmp_path, {**GOOD, "sha256": ["0" * 64, digest]})
    assert find_description(model, {}).skeleton == COCO18
    model.write_bytes(b"another")
    with pytest.raises(ModelFileError, match=r"net.yaml: sha256: is of another file than net.onnx") as caught:
        find_description(model, {})
    assert hashlib.sha256(b"another").hexdigest() in caught.value.remedy
    write(tmp_path, {**GOOD, "sha256": digest})
    with pytest.raises(ModelFileError, match="sha256: must be a list"):
        find_description(model, {})


def test_undescribed_model_shows_yaml_that_only_lacks_the_skeleton(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(b"anything")
    inputs = [TensorInfo('im"age:0', "tensor(float)", ("n", 3, 256, 512))]
    outputs = [
        TensorInfo("p", "tensor(float)", ("n", 38, 64, 128)),
        TensorInfo("h", "tensor(float)", ("n", 19, 64, 128)),
    ]
    with pytest.raises(ModelFileError, match="nothing says which joints") as caught:
        find_description(model, {}, inputs, outputs)
    assert str(tmp_path / "net.yaml") in caught.value.remedy
    shown = caught.value.remedy.split("\n", 1)[1]
    assert "channels:" not in shown
    assert "the channels fit coco18" in shown
    assert "(pixel * scale - mean) / std" in shown
    filled = shown.replace("SKELETON", "coco18", 1)
    write(tmp_path, filled)
    description = find_description(model, {})
    assert description.input == InputSpec(name='im"age:0', layout="NCHW", dtype="float32")
    assert (description.stride, description.size) == (4, (512, 256))
    assert (description.heatmaps.name, description.pafs.name) == ("h", "p")
    with pytest.raises(LtshError, match="SKELETON"):
        ModelDescription.from_yaml(write(tmp_path, shown, "unfilled.yaml"))


@pytest.mark.parametrize(
    ("channels", "fitting"), [(57, "; the channels fit coco18\n"), (16 + 28, "; the channels fit ltsh15\n"), (7, "\n")]
)
def test_one_output_lacks_its_channels_too_and_names_the_skeletons_that_fit(channels: int, fitting: str) -> None:
    image = TensorInfo("image", "tensor(float16)", ("n", "h", "w", 3))
    output = TensorInfo("maps", "tensor(float)", ("n", "h8", "w8", channels))
    boxes = TensorInfo("boxes", "tensor(int64)", ("n", 99))
    shown = yaml_template([image], [boxes, output])
    assert shown.count(f'{{name: "maps", layout: NHWC, channels: FIRST-LAST}}   # of {channels} channels') == 2
    assert "dtype: float16" in shown
    assert f"or a YAML file with joints and limbs{fitting}" in shown


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_descriptions_are_sound(path: Path) -> None:
    digests = yaml.safe_load(path.read_text(encoding="utf-8"))["sha256"]
    assert digests
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
    assert ModelDescription.from_yaml(path).licence


def test_coco_model_is_known_by_its_content(shared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.onnx"
    copy.write_bytes((shared / "models" / "coco_paf_mobilenet_v2_small.onnx").read_bytes())
    description = find_description(copy, {})
    assert description.skeleton == COCO18
    assert description.pafs.channels is not None
    # Neck to nose is limb 12 of the skeleton, and channels 28 and 29 behind the 19 heat maps.
    assert description.pafs.channels[24:26] == (19 + 28, 19 + 29)
    with copy.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelFileError, match="SHA-256"):
        find_description(copy, {})
