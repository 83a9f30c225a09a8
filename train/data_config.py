"""The parts of a training configuration that say what is learned from, and what is done to it on the way."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, model_validator

from ltsh_deploy.train.config_base import ConfigPart, Factor, Fraction, Share

__all__ = ["ColourConfig", "ComposeConfig", "CropConfig", "DataConfig", "DataSetConfig"]


class DataSetConfig(ConfigPart):
    """Where a data set lies: the arguments of :func:`ltsh_deploy.datasets.open_dataset`.

    Attributes:
        kind: of data set, or ``module:function``.
        path: its folder or file, from the working folder.
        options: further arguments, which depend on the kind.
    """

    kind: str
    path: str
    options: dict[str, Any] = Field(default_factory=dict)


class DataConfig(ConfigPart):
    """What is learned from.

    Attributes:
        sets: data sets by name.
        mix: name to the part of every batch that comes from that set; the parts sum to 1.
        validation: the set whose "val" samples measure progress; None for no validation.
    """

    sets: dict[str, DataSetConfig]
    mix: dict[str, Share]
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


class CropConfig(ConfigPart):
    """How a person becomes a crop. Lengths are meant for crops of 368 pixels and shrink with smaller ones.

    Attributes:
        target_scale: a person's height in the crop is this times 200 pixels, before zoom.
        zoom: bounds of a random factor.
        rotation: at most so many degrees, either way.
        shift: the person's centre lies at most so many pixels from the crop's, on either axis.
        mirror: probability.
    """

    target_scale: Factor = 1.25
    zoom: tuple[Factor, Factor] = (0.4, 1.6)
    rotation: Annotated[float, Field(ge=0, le=180)] = 40
    shift: Annotated[float, Field(ge=0, le=10_000)] = 50
    mirror: Fraction = 0.5

    @model_validator(mode="after")
    def _check(self) -> CropConfig:
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"zoom must be the smaller bound and the larger one, got {list(self.zoom)}")
        return self


class ColourConfig(ConfigPart):
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


class ComposeConfig(ConfigPart):
    """Several people in one crop, for data sets of which each picture has but one labelled person; off by default.

    Attributes:
        mosaic: probability that a crop is put together from the crops of four people, two by two.
        paste: probability that somebody else is cut out and pasted into a crop that is no mosaic.
    """

    mosaic: Fraction = 0
    paste: Fraction = 0
