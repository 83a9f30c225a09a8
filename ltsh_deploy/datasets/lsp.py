"""Leeds Sports Pose and its extended training set: ``joints.mat`` beside a folder of numbered pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.files import find_folder
from ltsh_deploy.datasets.matlab import load_mat
from ltsh_deploy.datasets.people import Person, Picture
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import LSP14, Skeleton

__all__ = ["read_lsp"]

_NAME = re.compile(r"im(\d+)\.(?:jpg|jpeg|png)", re.IGNORECASE)
#: Of LSP's 2,000 pictures the first half is for training, by its authors' protocol; LSP-extended is for training.
_LSP_PICTURES, _LSP_TRAIN = 2000, 1000


def read_lsp(
    path: Path, skips: Skips, *, images: str | Path | None = None, val_from: int | None = None
) -> tuple[list[Picture], Skeleton]:
    """The pictures of LSP or LSP-extended.

    The two differ in the order of the array and in what its flag means: in LSP (3 x 14 x N) every joint is labelled and
    the flag is 1 where it is hidden; in LSP-extended (14 x 3 x N) it is 1 where the joint is labelled.

    Args:
        path: ``joints.mat``, or the folder that holds it.
        skips: takes what cannot be used.
        images: folder of ``im0001.jpg`` or ``im00001.jpg`` and so on; ``images`` beside ``joints.mat`` when left out.
        val_from: number, from 1, of the first picture that is for validation; when left out, 1001 for a set of 2,000,
            and none is for others.

    Raises:
        MissingPartError: without scipy.
        InputError: when a file or folder is missing or contradicts the format.
    """
    file = path / "joints.mat" if path.is_dir() else path
    joints = _joints(load_mat(file).get("joints"), file)
    folder = find_folder(images, (file.parent / "images", file.parent), "pictures")
    numbered = {}
    for picture in sorted(folder.iterdir()):
        match = _NAME.fullmatch(picture.name)
        if match:
            numbered[int(match[1])] = picture
    if val_from is None:
        val_from = _LSP_TRAIN + 1 if len(joints) == _LSP_PICTURES else len(joints) + 1
    pictures = []
    for number, person in enumerate(joints, start=1):
        if number not in numbered:
            skips.add("pictures that are not there", folder / f"im{number:0{len(str(len(joints)))}}.jpg")
            continue
        image = numbered[number]
        split = "train" if number < val_from else "val"
        pictures.append(Picture(image.stem, image, [Person(person)], split))
    for number in sorted(numbered.keys() - set(range(1, len(joints) + 1))):
        skips.add("pictures without labels", numbered[number])
    return pictures, LSP14


def _joints(array: object, file: Path) -> npt.NDArray[np.float64]:
    """[N, 14, 3] x, y, label of the file's array."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(f"{file}: has no array of numbers 'joints', so it is not that of LSP")
    # Matlab and scipy drop the last of three dimensions where there is one picture.
    joints = (array[..., None] if array.ndim == 2 else array).astype(np.float64)
    shape = joints.shape[:2] if joints.ndim == 3 else ()
    if shape == (14, 3):
        joints = joints.transpose(2, 0, 1)
        labels = np.where(joints[:, :, 2] > 0, 2.0, 0.0)
    elif shape == (3, 14):
        joints = joints.transpose(2, 1, 0)
        labels = np.where(joints[:, :, 2] > 0, 1.0, 2.0)
    else:
        raise InputError(f"{file}: 'joints' must be 14 x 3 x N or 3 x 14 x N, found {list(array.shape)}")
    labels = np.where(np.isfinite(joints[:, :, :2]).all(axis=2), labels, 0.0)
    xy = np.where(labels[:, :, None] > 0, joints[:, :, :2], np.nan)
    return np.concatenate([xy, labels[:, :, None]], axis=2)
