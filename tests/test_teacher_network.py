"""The adversarial teacher's network: its shape, its first weights, and a student's features in place of a trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltsh_deploy.checkpoints import save_checkpoint
from ltsh_deploy.errors import ModelFileError, UsageError
from ltsh_deploy.networks import PoseNetwork, create_network
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.group_teacher import GroupTeacher
from ltsh_deploy.train.teacher import Outcome, create_teacher
from ltsh_deploy.train.teacher_config import GroupTeacherConfig, TeacherNetworkConfig
from ltsh_deploy.train.teacher_network import TeacherNetwork, create_teacher_network, student_features

TRUNK = (3, 4, 5, 6)


def config(**changes: Any) -> TeacherNetworkConfig:
    small = {"input_size": 64, "trunk_channels": TRUNK, "feature_channels": (4, 4), "head_channels": (3, 3)}
    return TeacherNetworkConfig.model_validate({**small, "hidden": (8, 8), **changes})


def light() -> PoseNetwork:
    return create_network("ltsh_light", LTSH15, channels=(8, 8, 8), stem_channels=8, feature_channels=12)


def large() -> PoseNetwork:
    return create_network("openpose_vgg19", LTSH15, 3, trunk_channels=TRUNK, feature_channels=(4, 4), stage_channels=4)


def crops(count: int, side: int = 64) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_the_defaults_are_the_published_network() -> None:
    with torch.device("meta"):
        network = TeacherNetwork(10, TeacherNetworkConfig())
        assert network(torch.zeros(2, 3, 368, 368)).shape == (2, 10)
    convolutions = [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]
    vgg19 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512), (512, 512)]
    assert convolutions == [*vgg19, (512, 256), (256, 128), (128, 64), (64, 64)]
    linear = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert linear == [(64 * 11 * 11, 512), (512, 512), (512, 10)]
    assert isinstance(list(network.modules())[-1], nn.Linear)


def test_it_begins_almost_uniform_and_its_numbers_may_be_negative() -> None:
    network = create_teacher_network(10, config(), seed=0)
    logits = network(crops(4))
    assert float(logits.detach().softmax(1).sub(0.1).abs().max()) < 0.01
    assert float(logits.detach().min()) < 0


def test_the_seed_makes_the_weights_and_nothing_else_is_touched() -> None:
    before = torch.get_rng_state()
    first, same, other = (create_teacher_network(5, config(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first(crops(1)), same(crops(1)))
    assert not torch.equal(first(crops(1)), other(crops(1)))


def test_a_crop_counts_for_itself_alone() -> None:
    network = create_teacher_network(5, config(), seed=1)
    torch.testing.assert_close(network(crops(3))[:1], network(crops(3)[:1]))


@pytest.mark.parametrize("form", ["checkpoint", "torchvision"])
def test_the_trunk_can_begin_with_the_weights_of_another_vgg19(tmp_path: Path, form: str) -> None:
    student = large()
    convolutions = [m for m in student.get_submodule("trunk").modules() if isinstance(m, nn.Conv2d)][:10]
    if form == "checkpoint":
        path = tmp_path / "student.safetensors"
        save_checkpoint(path, student)
    else:
        # The places of VGG19's convolutions up to conv4_2 in torchvision's list of layers.
        path = tmp_path / "vgg19.pth"
        names = [f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)]
        weights = {f"{n}.weight": c.weight.data for n, c in zip(names, convolutions, strict=True)}
        biases = {f"{n}.bias": c.bias.data for n, c in zip(names, convolutions, strict=True) if c.bias is not None}
        torch.save({**weights, **biases, "classifier.0.bias": torch.zeros(3)}, path)
    network = create_teacher_network(5, config(trunk_weights=path), seed=1)
    own = [m for m in network.trunk.modules() if isinstance(m, nn.Conv2d)]
    assert len(own) == 10
    for mine, given in zip(own, convolutions, strict=True):
        assert torch.equal(mine.weight, given.weight)
    plain = create_teacher_network(5, config(), seed=1)
    assert torch.equal(network.head[0].weight, plain.head[0].weight)


def test_files_that_are_no_trunk_are_refused_by_name(tmp_path: Path) -> None:
    def load(name: str, **changes: Any) -> None:
        create_teacher_network(5, config(trunk_weights=tmp_path / name, **changes), seed=1)

    save_checkpoint(tmp_path / "light.safetensors", light())
    save_checkpoint(tmp_path / "large.safetensors", large())
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "large.safetensors").read_bytes()[:200])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pth").touch()
    torch.save([1, 2], tmp_path / "list.pth")
    student = large()
    with torch.no_grad():
        next(student.parameters()).fill_(float("nan"))
    torch.save(student.state_dict(), tmp_path / "nan.pth")
    for name, words in (
        ("absent.pth", "cannot be read"),
        ("absent.safetensors", "cannot be read"),
        ("light.safetensors", r"holds neither trunk.0.weight nor features.0.weight"),
        ("cut.safetensors", "is not a whole file of weights"),
        ("text.pth", "is not a whole file of weights"),
        ("empty.pth", "is not a whole file of weights"),
        ("list.pth", "holds a list"),
        ("nan.pth", "holds NaN"),
    ):
        with pytest.raises(ModelFileError, match=f"{name}: .*{words}"):
            load(name)
    with pytest.raises(ModelFileError, match="shape"):
        load("large.safetensors", trunk_channels=(3, 4, 5, 7))


@pytest.mark.parametrize(("create", "shape"), [(light, (2, 12, 8, 8)), (large, (2, 4, 8, 8))])
def test_a_students_features_are_asked_for_without_a_trace(create: Any, shape: tuple[int, ...]) -> None:
    student = create().train()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    modes = [module.training for module in student.modules()]
    before = {key: value.clone() for key, value in student.state_dict().items()}
    features = student_features(student)(crops(2))
    assert features.shape == shape
    assert not features.requires_grad
    assert [module.training for module in student.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert torch.equal(student_features(student)(crops(2)[:, :, :, :64]), features)


def test_a_teacher_without_a_trunk_looks_with_the_student() -> None:
    student = light()
    options = GroupTeacherConfig(network=config(features="student"))
    teacher = create_teacher(options, [50, 50], 0, student_features=student_features(student))
    assert isinstance(teacher, GroupTeacher)
    assert not any(key.startswith("trunk") for key in teacher.state_dict()["network"])
    teacher.observe(Outcome(teacher.propose(), 1.0, 1.0, crops(3)))
    assert teacher.state_dict()["inputs"].shape == (3, 12, 8, 8)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    teacher.observe(Outcome(teacher.propose(), 2.0, 1.0, crops(3)))
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def test_features_that_are_not_there_or_too_small_are_errors() -> None:
    options = GroupTeacherConfig(network=config(features="student"))
    with pytest.raises(UsageError, match="this student gives none"):
        create_teacher(options, [50, 50], 0)
    with pytest.raises(UsageError, match="4x4 cells or more, got 2x2"):
        create_teacher(options, [50, 50], 0, student_features=lambda x: x[:, :, :2, :2])


def test_crops_of_another_size_are_resized() -> None:
    teacher = create_teacher(GroupTeacherConfig(network=config()), [50, 50], 0)
    assert isinstance(teacher, GroupTeacher)
    teacher.observe(Outcome(teacher.propose(), 1.0, 1.0, crops(2, side=96)))
    assert teacher.state_dict()["inputs"].shape == (2, 3, 64, 64)
