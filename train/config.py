"""What a training run is made of. :mod:`ltsh_deploy.train.config_file` reads and writes it as YAML.

Nothing imports this module, and so pydantic, before a run is configured. The defaults are those of the published
method; `recipes/` holds complete files.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ltsh_deploy.encode import LIMB_WIDTH, SIGMA
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

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Whole = Annotated[int, Field(ge=1)]
NotNegativeWhole = Annotated[int, Field(ge=0)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkChoice(_Config):
    """Which network, and how it differs from its defaults.

    Attributes:
        name: a key of :data:`ltsh_deploy.networks.NETWORKS`.
        config: fields of that network's configuration.
    """

    name: str = "ltsh_light"
    config: dict[str, Any] = {}


class DataSetConfig(_Config):
    """Where a data set lies: the arguments of :func:`ltsh_deploy.datasets.open_dataset`.

    Attributes:
        kind: of data set, or ``module:function``.
        path: its folder or file, from the working folder.
        options: further arguments, which depend on the kind.
    """

    kind: str
    path: str
    options: dict[str, Any] = {}


class DataConfig(_Config):
    """What is learned from.

    Attributes:
        sets: data sets by name.
        mix: name to the part of every batch that comes from that set; the parts sum to 1.
        validation: the set whose "val" samples measure progress; None for no validation.
    """

    sets: dict[str, DataSetConfig]
    mix: dict[str, Positive]
    validation: str | None = None

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        for name in (*self.mix, *([self.validation] if self.validation is not None else [])):
            if name not in self.sets:
                raise ValueError(
                    f"there is no data set {name!r} among sets: {', '.join(self.sets) or 'there are none'}"
                )
        total = math.fsum(self.mix.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the parts in mix must sum to 1, not {total:g}")
        return self


class CropConfig(_Config):
    """How a person becomes a crop. Lengths are meant for crops of 368 pixels and shrink with smaller ones.

    Attributes:
        target_scale: a person's height in the crop is this times 200 pixels, before zoom.
        zoom: bounds of a random factor.
        rotation: at most so many degrees, either way.
        shift: the person's centre lies at most so many pixels from the crop's, on either axis.
        mirror: probability.
    """

    target_scale: Positive = 1.25
    zoom: tuple[Positive, Positive] = (0.4, 1.6)
    rotation: Annotated[float, Field(ge=0, le=180)] = 40
    shift: NotNegative = 50
    mirror: Fraction = 0.5

    @model_validator(mode="after")
    def _check(self) -> CropConfig:
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"zoom must be the smaller bound and the larger one, got {list(self.zoom)}")
        return self


class ColourConfig(_Config):
    """Changes of a crop's colours, each applied to a random degree; all off by default, as in the published method.

    Attributes:
        brightness: at most so much is added to or taken from every value, as a part of 255.
        contrast: values move away from or towards their mean by at most this part.
        saturation: colours move away from or towards grey by at most this part.
        hue: colours turn by at most so many degrees.
        grey: probability of no colour at all.
        blur: sigma of a Gaussian, at most, in pixels of the crop.
        jpeg: the lowest quality of a JPEG round trip; 100 for none.
    """

    brightness: Fraction = 0
    contrast: Fraction = 0
    saturation: Fraction = 0
    hue: Annotated[float, Field(ge=0, le=180)] = 0
    grey: Fraction = 0
    blur: Annotated[float, Field(ge=0, le=20)] = 0
    jpeg: Annotated[int, Field(ge=5, le=100)] = 100


class ComposeConfig(_Config):
    """Several people in one crop, for data sets of which each picture has but one labelled person; off by default.

    Attributes:
        mosaic: probability that a crop is put together from the crops of four people, two by two.
        paste: probability that somebody else is cut out and pasted into a crop that is no mosaic.
    """

    mosaic: Fraction = 0
    paste: Fraction = 0


class TargetsConfig(_Config):
    """The maps that are asked for.

    Attributes:
        sigma: of the Gaussians, pixels of the crop.
        limb_width: half the width of a limb, pixels of the crop.
        masked: nothing is learned where a synthetic person stands in a real picture ("masked condition").
    """

    sigma: Positive = SIGMA
    limb_width: Positive = LIMB_WIDTH
    masked: bool = False


class LossConfig(_Config):
    """Weights of the loss's parts."""

    heatmap_weight: NotNegative = 1
    paf_weight: NotNegative = 1


class OptimiserConfig(_Config):
    """Adam.

    Attributes:
        lr: the learning rate that the schedule multiplies.
        betas: decay of the moments.
        eps: added to the denominator.
        weight_decay: decoupled from the gradient (AdamW); 0 is plain Adam.
        clip: the gradient's norm is scaled down to this; None for no limit.
    """

    lr: Positive = 5e-5
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.8, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0
    clip: Positive | None = None


class ScheduleConfig(_Config):
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
    factor: Positive = 0.33
    every: Whole = 20_000
    final: Fraction = 0
    length: Whole | None = None


class ValidationConfig(_Config):
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
    batch: Whole = 32
    pictures: NotNegativeWhole = 8


class RunConfig(_Config):
    """A training run.

    Attributes:
        version: of the configuration's format.
        seed: of everything that is drawn.
        network: the student.
        skeleton: its name, or a YAML file.
        init: a checkpoint to begin with, of the same network and skeleton; None for random weights.
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

    version: Whole = FORMAT_VERSION
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
    batch: Whole = 32
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
    prefetch: Whole = 4
