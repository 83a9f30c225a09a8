"""The ``teacher:`` part of a training configuration. Imported, and pydantic with it, by what reads configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ltsh_deploy.train.config_base import ConfigPart

__all__ = [
    "FixedTeacherConfig",
    "GroupTeacherConfig",
    "GroupingConfig",
    "RandomTeacherConfig",
    "TeacherConfig",
    "TeacherNetworkConfig",
    "UniformTeacherConfig",
    "spelled_out",
]

Channels = Annotated[int, Field(ge=1, le=4096)]


class GroupingConfig(ConfigPart):
    """How synthetic people are parted into groups.

    Attributes:
        characteristic: by which: ``camera_pitch`` (the paper's C), ``min_distance`` (its mD) or any other that the data
            set has.
        count: how many groups.
        boundaries: ``linear`` and ``quantile`` find them from the data's values; ``auto`` is the paper's choice, linear
            but for ``min_distance``, where it is equal parts of 0 to 640 pixels; or the boundaries themselves, one less
            than there are groups.
    """

    characteristic: str = Field(default="camera_pitch", min_length=1)
    count: int = Field(default=10, ge=2, le=1000)
    boundaries: Literal["auto", "linear", "quantile"] | tuple[float, ...] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _count_of_boundaries(cls, data: Any) -> Any:
        boundaries = data.get("boundaries") if isinstance(data, dict) else None
        if not isinstance(boundaries, list | tuple):
            return data
        count = len(boundaries) + 1
        if data.get("count", count) != count:
            raise ValueError(f"{count - 1} boundaries make {count} groups, not {data['count']}")
        return {**data, "count": count}


class TeacherNetworkConfig(ConfigPart):
    """The adversarial teacher's network; the defaults are the published one.

    Attributes:
        features: ``own``: a trunk of its own looks at the crops; ``student``: the student's features are used, which
            costs far less beside a light student.
        trunk_weights: a file with the trunk's first weights: a checkpoint of an ``openpose_vgg19`` student, or the
            state dictionary of torchvision's ``vgg19``. Without one they are random.
        input_size: side in pixels that the crops are resized to where they have another.
        trunk_channels: of the four groups of convolutions of VGG19 up to conv4_2.
        feature_channels: of the two convolutions that follow.
        head_channels: of the two after the first pooling.
        hidden: widths of the two fully connected layers.
    """

    features: Literal["own", "student"] = "own"
    trunk_weights: Path | None = None
    input_size: int = Field(default=368, ge=32, le=2048)
    trunk_channels: tuple[Channels, Channels, Channels, Channels] = (64, 128, 256, 512)
    feature_channels: tuple[Channels, Channels] = (256, 128)
    head_channels: tuple[Channels, Channels] = (64, 64)
    hidden: tuple[Channels, Channels] = (512, 512)

    @model_validator(mode="after")
    def _consistent(self) -> TeacherNetworkConfig:
        if self.features == "student" and self.trunk_weights is not None:
            raise ValueError("trunk_weights are for features: own; with the student's features there is no trunk")
        return self


class _AnyTeacherConfig(ConfigPart):
    # A choice holds for so many student steps.
    window: int = Field(default=20, ge=1)


class RandomTeacherConfig(_AnyTeacherConfig):
    """Control: synthetic samples come in turn, as without a teacher; each window is recorded."""

    kind: Literal["random"] = "random"


class UniformTeacherConfig(_AnyTeacherConfig):
    """Control: every group is as likely as any other."""

    kind: Literal["uniform"] = "uniform"
    groups: GroupingConfig = GroupingConfig()


class FixedTeacherConfig(_AnyTeacherConfig):
    """Control: the same distribution over the groups from first to last.

    Attributes:
        probabilities: one a group, with the sum 1.
    """

    kind: Literal["fixed"] = "fixed"
    groups: GroupingConfig = GroupingConfig()
    probabilities: tuple[Annotated[float, Field(ge=0, le=1)], ...]

    @model_validator(mode="after")
    def _sum(self) -> FixedTeacherConfig:
        if abs(sum(self.probabilities) - 1) > 1e-6:
            raise ValueError(f"probabilities must have the sum 1, theirs is {sum(self.probabilities):.6g}")
        return self


class GroupTeacherConfig(_AnyTeacherConfig):
    """The adversarial teacher; the defaults are the paper's.

    Attributes:
        window: student steps that a choice holds for (N).
        history: windows whose mean is the baseline (H).
        epsilon: probability of a choice made uniformly instead.
        alpha: by what share a reward raises, and a penalty lowers, the chosen group's probability.
        signal: ``absolute``: the synthetic samples' loss; ``relative``: divided by the real ones' of the same window.
        learning_rate: of the teacher's own Adam optimiser.
        inputs: how many of a window's hardest real crops the teacher looks at.
        network: what it looks with.
    """

    kind: Literal["group"] = "group"
    groups: GroupingConfig = GroupingConfig()
    history: int = Field(default=10, ge=1)
    epsilon: float = Field(default=0.1, ge=0, le=1)
    alpha: float = Field(default=0.01, ge=0, le=1)
    signal: Literal["absolute", "relative"] = "absolute"
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    inputs: int = Field(default=32, ge=1)
    network: TeacherNetworkConfig = TeacherNetworkConfig()


def spelled_out(teacher: Any) -> Any:
    """``teacher: uniform`` is short for ``teacher: {kind: uniform}``; anything else is left as it is."""
    return {"kind": teacher} if isinstance(teacher, str) else teacher


def _with_kind(value: Any) -> Any:
    if isinstance(value, dict) and "kind" not in value:
        raise ValueError("kind is missing; it says which teacher: group, uniform, fixed or random")
    return spelled_out(value)


#: A field of this type takes the name of a teacher, or a mapping with ``kind`` and that teacher's options.
TeacherConfig = Annotated[
    GroupTeacherConfig | UniformTeacherConfig | FixedTeacherConfig | RandomTeacherConfig,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]
