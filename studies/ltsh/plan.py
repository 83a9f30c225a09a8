"""What the study is made of: rows, budgets, and where it keeps what it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.yaml_text import parse_yaml

__all__ = [
    "BASE",
    "SETS",
    "Budget",
    "Layout",
    "Row",
    "Study",
    "chosen_rows",
    "load_study",
]

HERE = Path(__file__).parent
#: The data sets that a row may mix: LSPET; D_S, D_M and D_Style of the paper; and D_S with a rare hard part.
SETS = ("real", "purely", "mixed", "stylised", "tail")
#: The row beside which others are shown: it draws from D_S without a teacher.
BASE = "R+S"

Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Pictures(_Part):
    """What is generated: numbers of pictures, of people in each on average, and D_S's side in pixels."""

    side: Annotated[int, Field(ge=64, le=4096)]
    purely: Count
    people: Annotated[float, Field(gt=0, le=60)]
    mixed: Count
    mixed_people: Annotated[float, Field(gt=0, le=60)]
    validation: Count


class Measuring(_Part):
    """What is measured.

    Attributes:
        people: validation people of LSPET at most; None for all.
        mosaics: pictures of four of them each, at most.
        tile: a mosaic is twice as wide and high, pixels.
        pck_box, mosaic_box, synthetic_box: side of the square that pictures are fitted into for the network; the first
            one at night, too.
        batch: pictures at once.
    """

    people: Count | None
    mosaics: Count
    tile: Annotated[int, Field(ge=32, multiple_of=8)]
    pck_box: Annotated[int, Field(ge=32)]
    mosaic_box: Annotated[int, Field(ge=32)]
    synthetic_box: Annotated[int, Field(ge=32)]
    batch: Count


class Budget(_Part):
    """How large everything is.

    Attributes:
        about: one line on what it is for.
        seeds: how many, where nothing else is asked for.
        pictures: what is generated.
        measuring: what is measured.
        training: of the training configuration, for every row.
        first: how that of the students on real people differs, with which rows begin.
        alone: how that of rows differs which begin with random weights.
        teacher: of the options of every teacher.
        group_teacher: of those of a teacher that learns.
    """

    about: str
    seeds: Count
    pictures: Pictures
    measuring: Measuring
    training: dict[str, Any]
    first: dict[str, Any]
    alone: dict[str, Any]
    teacher: dict[str, Any]
    group_teacher: dict[str, Any]


class Row(_Part):
    """One way to train.

    Attributes:
        about: one line on what it is.
        mix: data set to its part of every batch.
        against: rows that it is compared with.
        begins: with the weights of a student that was trained on real people alone, or with random ones.
        training: how its training configuration differs from the others'.
    """

    about: str
    mix: dict[str, float]
    against: tuple[str, ...] = ()
    begins: Literal["first", "random"] = "first"
    training: dict[str, Any] = Field(default_factory=dict)


class _Base(_Part):
    rows: tuple[str, ...]
    real: Path
    backgrounds: Path | None
    training: dict[str, Any]


class _Budgets(_Part):
    budgets: dict[str, Budget]


@dataclass(frozen=True)
class Study:
    """All of it.

    Attributes:
        rows: by name, in the order of the tables.
        budgets: by name.
        training: what the configurations of all rows share.
        real: folder of LSPET's shards.
        backgrounds: folder of photographs without people; None for drawn rooms and streets.
    """

    rows: Mapping[str, Row]
    budgets: Mapping[str, Budget]
    training: Mapping[str, Any]
    real: Path
    backgrounds: Path | None

    def budget(self, name: str) -> Budget:
        """The budget of this name.

        Raises:
            UsageError: when there is none.
        """
        if name not in self.budgets:
            raise UsageError(f"there is no budget {name!r}", f"Known: {', '.join(self.budgets)}.")
        return self.budgets[name]


@dataclass(frozen=True)
class Layout:
    """Where a study of one budget keeps what it makes."""

    out: Path
    budget: str

    @property
    def data_folder(self) -> Path:
        """Of the generated data sets."""
        return self.out / self.budget / "data"

    def data(self, name: str) -> Path:
        """The folder of one generated data set."""
        return self.data_folder / name

    def run(self, row: str, seed: int) -> Path:
        """The folder of one run."""
        return self.out / self.budget / row / f"seed-{seed}"


def load_study(folder: Path = HERE, *, real: Path | None = None, backgrounds: Path | None = None) -> Study:
    """Read base.yaml, budgets.yaml and the rows.

    Args:
        folder: of these files.
        real: stands in for the folder that base.yaml names, like the next.
        backgrounds: likewise.

    Raises:
        InputError: when a file is missing, or says what cannot be; it names the file and the key.
    """
    base = _checked(_Base, _read(folder / "base.yaml"), folder / "base.yaml")
    budgets = _checked(_Budgets, {"budgets": _read(folder / "budgets.yaml")}, folder / "budgets.yaml").budgets
    if BASE not in base.rows:
        raise InputError(f"{folder / 'base.yaml'}: rows: {BASE} is missing", "Others are shown beside it.")
    rows = {}
    for name in base.rows:
        path = folder / "rows" / f"{name}.yaml"
        rows[name] = _checked(Row, _read(path), path)
        unknown = [each for each in rows[name].mix if each not in SETS]
        if unknown:
            raise InputError(f"{path}: mix: there is no data set {unknown[0]!r}", f"Known: {', '.join(SETS)}.")
    for name, row in rows.items():
        strangers = [each for each in row.against if each not in rows]
        if strangers:
            path = folder / "rows" / f"{name}.yaml"
            raise InputError(f"{path}: against: there is no row {strangers[0]!r}", f"Known: {', '.join(rows)}.")
    return Study(rows, budgets, base.training, real or base.real, backgrounds or base.backgrounds)


def chosen_rows(study: Study, text: str | None) -> list[str]:
    """The rows named in "R,S,teacher-C", in the study's order; all for None.

    Raises:
        UsageError: naming a row that there is not.
    """
    if text is None:
        return list(study.rows)
    known = {name.lower(): name for name in study.rows}
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for name in asked:
        if name.lower() not in known:
            raise UsageError(f"there is no row {name!r}", f"Known: {', '.join(study.rows)}.")
    if not asked:
        raise UsageError("no row is named", f"Known: {', '.join(study.rows)}.")
    wanted = {known[name.lower()] for name in asked}
    return [name for name in study.rows if name in wanted]


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "The study needs this file.") from None
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


_T = TypeVar("_T", bound=BaseModel)


def _checked(model: type[_T], data: object, path: Path) -> _T:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{path}: {_dotted(first['loc'])}{first['msg']}") from None


def _dotted(location: Sequence[str | int]) -> str:
    parts = [str(part) for part in location if part != "budgets"]
    return f"{'.'.join(parts)}: " if parts else ""
