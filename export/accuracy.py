"""The gate that an exported model must pass: does it find people as well as the model it came from?

It is asked on real pictures. Without labels, the people whom both find are compared; with labels, the figure of the
data set's metric too. How much may be lost depends on the precision, and is written down in :data:`LIMITS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ltsh_deploy.errors import ExportError, InputError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_model
from ltsh_deploy.evaluation.opening import KINDS, open_evaluation_set
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.export.agreement import Agreement, compare_poses
from ltsh_deploy.frames import Source
from ltsh_deploy.poses import Poses
from ltsh_deploy.sources import open_sources

__all__ = ["LIMITS", "Accuracy", "Limit", "VerificationData", "open_verification", "verify"]

_SETTINGS = ("groups", "images", "only", "split")
_LABELLED = f"Labelled data are named KIND:PATH; the kinds are {', '.join(KINDS)}."


@dataclass(frozen=True)
class Limit:
    """What a precision may lose.

    Attributes:
        points: of the data set's figure, which is in percent.
        lost: the part of the people, of whom the model is sure, who may be lost.
    """

    points: float
    lost: float


#: By precision. 8 bits lose some people and find others; labels tell whether that is worse, and where there are labels
#: they alone decide. Pictures alone tell only sound quantisation from broken.
LIMITS = {"fp32": Limit(0.1, 0.0), "fp16": Limit(0.1, 0.0), "int8": Limit(1.0, 0.25)}


@dataclass(frozen=True)
class VerificationData:
    """What to verify on.

    Attributes:
        name: as the user wrote it.
        pictures: to compare people on; empty where there are labels.
        labelled: a data set, or None.
    """

    name: str
    pictures: tuple[Source, ...] = ()
    labelled: EvaluationSet | None = None

    def __len__(self) -> int:
        return len(self.pictures) if self.labelled is None else len(self.labelled)


@dataclass(frozen=True)
class Accuracy:
    """What came of it.

    Attributes:
        data: the name of the data.
        precision: of the exported model, which decides the limit.
        agreement: on the people.
        metric: the figure's name, or None without labels.
        before: the figure of the model that was exported, in 0..100.
        after: that of the exported model.
        limit: what may be lost.
    """

    data: str
    precision: str
    agreement: Agreement
    metric: str | None
    before: float
    after: float
    limit: Limit

    @property
    def loss(self) -> float:
        """Points by which the figure fell; negative where it rose, NaN without labels."""
        return self.before - self.after

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures: dict[str, Any] = {}
        if self.metric is not None:
            figures = {"metric": self.metric, "before": self.before, "after": self.after, "loss": self.loss}
        return {"data": self.data, **figures, **self.agreement.to_dict(), "limit": asdict(self.limit)}

    def check(self) -> None:
        """Fail where more was lost than the limit allows.

        Raises:
            ExportError: saying what was lost, and where.
            InputError: when the model is sure of nobody in the data, of whom none could be lost.
        """
        nothing = "Nothing was written. "
        if not self.agreement.people:
            raise InputError(
                f"{self.data}: the model is sure of nobody in these pictures, so nothing is verified on them",
                f"{nothing}Give --verify pictures with people whom the model finds.",
            )
        if self.metric is not None and not self.loss <= self.limit.points:
            raise ExportError(
                f"the exported model loses {self.loss:.2f} points of {self.metric} on {self.data} ({self.after:.2f} "
                f"after {self.before:.2f}), and {self.precision} may lose {self.limit.points:g}",
                nothing + _REMEDIES[self.precision],
            )
        # With labels, people whom 8 bits lose are judged by the figure.
        judged = self.metric is None or self.limit.lost == 0
        if judged and self.agreement.share_lost > self.limit.lost:
            allowed = f"{self.limit.lost:.0%} of them" if self.limit.lost else "nobody"
            raise ExportError(
                f"the exported model loses {self.agreement.lost} of the {self.agreement.people} people whom the model "
                f"is sure of on {self.data}, and {self.precision} may lose {allowed}",
                nothing + _REMEDIES[self.precision],
            )


_REMEDIES = {
    "fp32": "Export with another --opset, or report this.",
    "fp16": "Export with --precision fp32.",
    "int8": "Calibrate on more pictures, of the kind that is verified on; or export with --precision fp16.",
}


def open_verification(name: str, settings: Mapping[str, str]) -> VerificationData:
    """What a user named to verify on: a picture, a folder of pictures, or labelled data, ``KIND:PATH``.

    Args:
        name: KIND is one of :data:`~ltsh_deploy.evaluation.opening.KINDS`.
        settings: options of labelled data: see :func:`~ltsh_deploy.evaluation.opening.open_evaluation_set`.

    Raises:
        UsageError: for settings that do not exist, or of pictures.
        InputError: when the data cannot be read.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in KINDS and not Path(name).exists():
        for key in settings:
            if key not in _SETTINGS:
                raise UsageError(f"labelled data have no option {key!r}", f"There are {', '.join(_SETTINGS)}.")
        if not path:
            raise UsageError(f"{name}: names no file or folder", f"Write {kind}:PATH.")
        return VerificationData(name, labelled=open_evaluation_set(kind, path, **settings))
    if kind.replace("-", "").isalpha() and colon and "://" not in name and not Path(name).exists():
        raise UsageError(f"{name}: there is no such file, and {kind!r} is no kind of labelled data", _LABELLED)
    if settings:
        raise UsageError(f"{name}: pictures have no options", _LABELLED)
    pictures = tuple(source for source in open_sources([name]) if source.kind == "image")
    if not pictures:
        raise UsageError(
            f"{name}: is no picture and no folder with pictures",
            f"Name pictures. {_LABELLED}",
        )
    return VerificationData(name, pictures)


def verify(
    model: str | Path,
    exported: str | Path,
    precision: str,
    data: VerificationData,
    *,
    device: str = "auto",
    done: Callable[[int], None] = lambda looks: None,
) -> Accuracy:
    """Let both models look at the data, and compare what they find; the caller decides, with :meth:`Accuracy.check`.

    Args:
        model: a checkpoint, or an ONNX file.
        exported: what was made of it.
        precision: of ``exported``.
        data: from :func:`open_verification`.
        device: where both run.
        done: is called after every look with 1; there are two looks at each of the data.

    Raises:
        LtshError: when a model or the data cannot be used.
    """
    with ExitStack() as stack:
        after = stack.enter_context(PoseEstimator.open(exported, device=device))
        # Both look at pictures of the size that the exported model is for.
        before = stack.enter_context(PoseEstimator.open(model, device=device, size=after.size))
        if data.labelled is None:
            people = [_find_people(estimator, data.pictures, done) for estimator in (before, after)]
            agreement = compare_poses(zip(people[0], people[1], strict=True))
            return Accuracy(data.name, precision, agreement, None, math.nan, math.nan, LIMITS[precision])
        first, second = (evaluate_model(estimator, data.labelled, done=done) for estimator in (before, after))
    pairs = zip(first.predictions, second.predictions, strict=True)
    agreement = compare_poses((a.poses, b.poses) for a, b in pairs)
    name = first.scores.name
    return Accuracy(data.name, precision, agreement, name, _figure(first), _figure(second), LIMITS[precision])


def _figure(evaluation: Evaluation) -> float:
    if math.isnan(evaluation.scores.headline):
        raise InputError(
            f"{evaluation.data.source}: nothing can be measured on these data", "Verify on data with labelled people."
        )
    return evaluation.scores.headline


def _find_people(estimator: PoseEstimator, pictures: tuple[Source, ...], done: Callable[[int], None]) -> list[Poses]:
    found = []
    for source in pictures:
        found += [estimator(frame.image) for frame in source]
        done(1)
    return found
