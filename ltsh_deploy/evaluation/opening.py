"""The one door to everything that can be evaluated on, and to stored predictions of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ltsh_deploy.datasets.files import read_json, read_names
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.evaluation.coco_results import from_coco_results
from ltsh_deploy.evaluation.coco_units import coco_units
from ltsh_deploy.evaluation.matlab_predictions import read_matlab
from ltsh_deploy.evaluation.mpii_units import mpii_json_units, mpii_units
from ltsh_deploy.evaluation.neutral_predictions import from_neutral
from ltsh_deploy.evaluation.neutral_truth import read_neutral_truth
from ltsh_deploy.evaluation.predictions import StoredPredictions
from ltsh_deploy.evaluation.sample_units import KINDS as SAMPLE_KINDS
from ltsh_deploy.evaluation.sample_units import sample_units
from ltsh_deploy.evaluation.units import EvaluationSet

__all__ = ["KINDS", "open_evaluation_set", "read_predictions"]

#: Kinds of data sets, as ``ltsh evaluate --dataset`` names them.
KINDS = ("mpii", "mpii-json", "coco", "lsp", "ltsh", "synthetic", "shards", "conformance")


def open_evaluation_set(
    kind: str,
    annotations: str | Path,
    *,
    images: str | Path | None = None,
    groups: str | Path | None = None,
    split: str | None = None,
    only: str | Path | None = None,
    joints: Sequence[str] | None = None,
) -> EvaluationSet:
    """Read the true people of a data set, and none of its pictures.

    Args:
        kind: one of :data:`KINDS`.
        annotations: the file of labels, or the folder, as the kind has it (docs/evaluation.md).
        images: folder of the pictures, where they do not lie in the data set's usual place.
        groups: MPII's file of groups.
        split: ``"train"`` or ``"val"`` of the kinds for training; ``"train"`` or ``"test"`` of MPII, train by default.
        only: text file with the names of MPII's pictures to take, one a line.
        joints: of COCO's 17, those to measure; all by default.

    Raises:
        UsageError: for an unknown kind, an option that it does not have, or MPII without groups.
        InputError: when a file is missing or contradicts its format; it names the entry.
        MissingPartError: when a format needs a package that is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind of data set {kind!r} to evaluate on", f"Known: {', '.join(KINDS)}.")
    for name, value, kinds in (
        ("groups", groups, ("mpii",)),
        ("only", only, ("mpii",)),
        ("joints", joints, ("coco",)),
        ("split", split, ("mpii", *SAMPLE_KINDS)),
        ("images", images, tuple(k for k in KINDS if k != "shards")),
    ):
        if value is not None and kind not in kinds:
            raise UsageError(f"data sets of kind {kind} have no {name}", f"It is for {', '.join(kinds)}.")
    path = Path(annotations).expanduser()
    folder = None if images is None else Path(images).expanduser()
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of pictures", "check the path")
    if kind == "mpii":
        if groups is None:
            raise UsageError(
                "MPII's multi-person metric needs its file of groups, and none was named",
                "Name it with --groups; for single people there is the kind mpii-json.",
            )
        if split not in (None, "train", "test"):
            raise UsageError(f"MPII has no split {split!r}", "It has train and test; --only names pictures for yours.")
        names = None if only is None else read_names(Path(only).expanduser())
        return mpii_units(path, Path(groups).expanduser(), folder, names, split or "train")
    if kind in SAMPLE_KINDS:
        return sample_units(kind, path, folder, split)
    if kind == "coco":
        return coco_units(path, folder, joints or ())
    return (mpii_json_units if kind == "mpii-json" else read_neutral_truth)(path, folder)


def read_predictions(path: str | Path, data: EvaluationSet) -> StoredPredictions:
    """Read stored predictions: this project's JSON, COCO results, or the ``.mat`` of MPII's toolkit.

    A file without anything in it holds predictions of nobody.

    Args:
        path: of the file; ``.mat`` is told by its suffix, the others by what is in them.
        data: what they are predictions of: its joints are those of a JSON file that names none.

    Raises:
        InputError: when the file is missing or contradicts its form; it names the entry.
        MissingPartError: for a ``.mat`` without scipy.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() == ".jsonl":
        raise InputError(
            f"{path}: is what an evaluation keeps so that it can go on, not its result",
            "Name the predictions.json that is written beside it at the end.",
        )
    if path.suffix.lower() == ".mat" and (not path.is_file() or path.stat().st_size):
        return read_matlab(path, [(unit.id, unit.image_name) for unit in data])
    if path.is_file() and not path.read_bytes().strip():
        return StoredPredictions(str(path), data.skeleton, {}, {"files without anything in them": 1})
    content = read_json(path)
    if content in ([], {}):
        return StoredPredictions(str(path), data.skeleton, {})
    if isinstance(content, list):
        if data.metric != "oks":
            raise InputError(
                f"{path}: holds COCO results (a list), which do not fit a data set of kind {data.kind}",
                'The form is {"images": [{"id": ..., "people": [...]}]}: see docs/evaluation.md.',
            )
        return from_coco_results(content, str(path), data.categories)
    return from_neutral(content, data.skeleton, str(path))
