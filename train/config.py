"""What a training run is made of. :mod:`ltsh_deploy.train.config_file` reads and writes it as YAML.

Nothing imports this module, and so pydantic, before a run is configured. Crops, targets, losses, optimiser
and schedule have the published method's numbers by default; `recipes/` holds complete files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ltsh_deploy.encode import LIMB_WIDTH, SIGMA
from ltsh_deploy.train.config_base import (
    ConfigPart,
    Crops,
    Fraction,
    Length,
    NotNegative,
    NotNegativeWhole,
    Positive,
    Share,
    Whole,
)
from ltsh_deploy.train.data_config import ColourConfig, ComposeConfig, CropConfig, DataConfig, DataSetConfig
from ltsh_deploy.train.teacher_config import TeacherConfig

__all__ = [
    "FORMAT_VERSION",
    "ColourConfig",
    "ComposeConfig",
    "CropConfig",
    "DataConfig",
    "DataSetConfig",
    "LossConfig",
    "NetworkChoice",
    "OptimiserConfig",
    "RunConfig",
    "ScheduleConfig",
    "TargetsConfig",
    "ValidationConfig",
]

FORMAT_VERSION = 1


class NetworkChoice(ConfigPart):
    """Which network, and how it differs from its defaults.

    Attributes:
        name: a key of :data:`ltsh_deploy.networks.NETWORKS`.
        config: fields of that network's configuration.
    """

    name: str = "ltsh_light"
    config: dict[str, Any] = Field(default_factory=dict)


class TargetsConfig(ConfigPart):
    """The maps that are asked for.

    Attributes:
        sigma: of the Gaussians, pixels of the crop.
        limb_width: half the width of a limb, pixels of the crop.
        masked: nothing is learned where a synthetic person stands in a picture with real people ("masked condition").
    """

    sigma: Length = SIGMA
    limb_width: Length = LIMB_WIDTH
    masked: bool = False


class LossConfig(ConfigPart):
    """Weights of the loss's parts."""

    heatmap_weight: NotNegative = 1
    paf_weight: NotNegative = 1


class OptimiserConfig(ConfigPart):
    """Adam.

    Attributes:
        lr: the learning rate that the schedule multiplies.
        betas: decay of the moments.
        eps: added to the denominator.
        weight_decay: decoupled from the gradient (AdamW); 0 is plain Adam.
        clip: the gradient's norm is scaled down to this; None for no limit.
    """

    lr: Annotated[float, Field(ge=1e-12, le=1e30)] = 5e-5
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.8, 0.999)
    eps: Annotated[float, Field(ge=1e-20, le=1)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0
    clip: Positive | None = None


class ScheduleConfig(ConfigPart):
    """The learning rate over the steps.

    Attributes:
        kind: ``step`` multiplies it by ``factor`` every ``every`` steps; ``cosine`` brings it down to ``final`` along
            half a cosine; ``constant`` leaves it.
        warm_up: it first rises from 0 along a line for so many steps.
        factor: of ``step``.
        every: of ``step``.
        final: of ``cosine``, as a part of the learning rate.
        length: of ``cosine``: at the last of so many steps it has come down; by default at the run's last.
    """

    kind: Literal["step", "cosine", "constant"] = "step"
    warm_up: NotNegativeWhole = 0
    factor: Share = 0.33
    every: Whole = 20_000
    final: Fraction = 0
    length: Whole | None = None


class ValidationConfig(ConfigPart):
    """Measuring progress on the validation set.

    Attributes:
        every: steps between two measurements; the last step always has one.
        people: at most so many, spread evenly over the set; None for all.
        view: ``picture`` shows the network the whole picture, scaled to fit into ``size``, as in deployment; ``crop``
            shows it the person in the middle, as large as training asks for.
        batch: pictures at once.
        pictures: so many are drawn for TensorBoard, with the people found and labelled.
    """

    every: Whole = 5_000
    people: Whole | None = None
    view: Literal["picture", "crop"] = "picture"
    batch: Crops = 32
    pictures: NotNegativeWhole = 8


class RunConfig(ConfigPart):
    """A training run.

    Attributes:
        version: of the configuration's format.
        seed: of everything that is drawn.
        network: the student.
        skeleton: its name, or a YAML file.
        init: weights to begin with, of the same network and skeleton: a checkpoint, an ONNX file that was exported from
            one, or ``default``, the package's own model; None for random weights.
        frozen_convolutions: so many of the first convolutions, and their normalisations, keep their weights.
        data: what is learned from.
        size: (width, height) of the crops, multiples of the network's stride.
        crop: how a person becomes a crop.
        colour: how a crop's colours change.
        compose: how several people come into one crop.
        targets: the maps that are asked for.
        loss: weights of the loss's parts.
        batch: crops a step, over all processes.
        steps: how many.
        optimiser: Adam's numbers.
        schedule: of the learning rate.
        average: decay of the moving average of the weights, which is what is measured and kept; 0 for none.
        teacher: who says where the synthetic samples come from; None: they come in turn, like the real ones.
        validation: how progress is measured.
        checkpoint_every: steps between two checkpoints; the last step always has one.
        log_every: steps between two lines of the log.
        tensorboard: write TensorBoard's files too.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: of the network's arithmetic on a GPU.
        channels_last: memory layout of the network; faster on most devices.
        compile: hand the network to torch.compile.
        threads: of the network's arithmetic on the CPU; None for one a core.
        workers: threads that read and warp pictures.
        prefetch: steps that they work ahead.
    """

    version: Annotated[int, Field(ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    network: NetworkChoice = NetworkChoice()
    skeleton: str = "ltsh15"
    init: str | None = None
    frozen_convolutions: NotNegativeWhole = 0
    data: DataConfig
    size: tuple[Annotated[int, Field(ge=32, le=4096)], Annotated[int, Field(ge=32, le=4096)]] = (368, 368)
    crop: CropConfig = CropConfig()
    colour: ColourConfig = ColourConfig()
    compose: ComposeConfig = ComposeConfig()
    targets: TargetsConfig = TargetsConfig()
    loss: LossConfig = LossConfig()
    batch: Crops = 32
    steps: Whole = 70_002
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    average: Annotated[float, Field(ge=0, lt=1)] = 0
    teacher: TeacherConfig | None = None
    validation: ValidationConfig = ValidationConfig()
    checkpoint_every: Whole = 1_000
    log_every: Whole = 20
    tensorboard: bool = False
    device: str = "auto"
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    prefetch: Annotated[int, Field(ge=1, le=1_000)] = 4
