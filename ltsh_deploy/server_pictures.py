"""A client's bytes to a network's input, judged by what their header says before anything is decoded."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.device_looks import DeviceLook
from ltsh_deploy.errors import ImageError
from ltsh_deploy.estimator import PoseEstimator, View
from ltsh_deploy.image_headers import read_header, recognise_image
from ltsh_deploy.images import read_image
from ltsh_deploy.jpeg_files import has_more_scans
from ltsh_deploy.poses import Poses
from ltsh_deploy.resampling import Pass
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.skeletons import SKELETONS

__all__ = ["KINDS", "Prepared", "Wishes", "check_picture", "group", "prepare"]

#: Few kinds, whose decoders the whole web uses: pictures come from anybody.
KINDS = ("JPEG", "PNG", "WebP")
# Each scan of a progressive JPEG passes over the whole picture; cameras and programs make a dozen at most.
_MAX_SCANS = 100


@dataclass(frozen=True)
class Wishes:
    """What a client may choose for a picture.

    Attributes:
        threshold: lowest score of a joint, 0 to 1; None for the server's own.
        max_side: pixels of the network's input at most; None for the network's own.
        skeleton: the name of another skeleton whose joints are wanted; None for the network's own.
    """

    threshold: float | None = None
    max_side: int | None = None
    skeleton: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A picture, ready for the network.

    Attributes:
        width: of the picture, upright, in pixels.
        height: likewise.
        views: what the network is to see of it.
        wishes: what else its client wants.
        seconds: that decoding and scaling took.
    """

    width: int
    height: int
    views: list[View]
    wishes: Wishes
    seconds: float


def check_picture(data: bytes, max_bytes: int, max_pixels: int) -> int:
    """Make sure that a picture may be decoded: its kind, its bytes, and the pixels that its header promises.

    Returns:
        Their number.

    Raises:
        RequestError: otherwise.
    """
    if len(data) > max_bytes:
        raise RequestError("too_large", f"the picture has {len(data)} bytes, more than {max_bytes}", "make it smaller")
    kind = recognise_image(data[:256])
    if kind not in KINDS:
        raise RequestError("not_a_picture", "this is no picture of a kind that is read here", "send JPEG, PNG or WebP")
    header = read_header(data)
    assert header is not None
    fault = header.fault
    if header.size is None:
        fault = fault or "it does not say how large it is"
    elif header.size[0] * header.size[1] > max_pixels:
        message = f"the picture has {header.size[0]} x {header.size[1]} pixels, more than {max_pixels}"
        raise RequestError("too_many_pixels", message, "make it smaller")
    if not fault and kind == "JPEG" and has_more_scans(data, _MAX_SCANS):
        fault = f"it has more than {_MAX_SCANS} scans"
    if fault:
        raise RequestError("damaged", f"this {kind} picture is cut off or damaged: {fault}", "send it again")
    assert header.size is not None
    return header.size[0] * header.size[1]


def prepare(
    data: bytes, estimator: PoseEstimator, wishes: Wishes, max_bytes: int, max_pixels: int, at_once: int
) -> Prepared | None:
    """Decode a picture and scale it for the network.

    Returns:
        None, and nothing is decoded, for a picture that may be decoded but has more than ``at_once`` pixels.

    Raises:
        RequestError: when it is too large, of another kind, or damaged.
    """
    begin = time.perf_counter()
    if check_picture(data, max_bytes, max_pixels) > at_once:
        return None
    try:
        image = read_image(data, "the picture", max_pixels=max_pixels)
    except ImageError as error:
        raise RequestError("damaged", error.message, "send it again") from None
    looking = estimator
    if wishes.max_side is not None and max(estimator.size) > wishes.max_side:
        # It shares the network with the one it is a copy of; only the box that pictures are scaled into is another.
        looking = copy.copy(estimator)
        factor = wishes.max_side / max(estimator.size)
        width, height = (max(1, round(side * factor)) for side in estimator.size)
        looking.size = (width, height)
    views = looking.prepare([image])
    height, width = image.shape[:2]
    return Prepared(width, height, views, wishes, time.perf_counter() - begin)


def group(estimator: PoseEstimator, passes: Sequence[Pass] | DeviceLook, wishes: Wishes) -> Poses:
    """The people of a picture that the network has seen, as its client wants them.

    Where maps stay on a GPU they are read with the estimator's own threshold, and joints below a client's higher one
    are taken away afterwards.

    Raises:
        FieldsError: when the network's maps hold NaN or infinity.
    """
    config = estimator.decode_config
    if wishes.threshold is not None and wishes.threshold != config.peak_threshold:
        config = replace(config, peak_threshold=wishes.threshold)
        estimator = copy.copy(estimator)
        estimator.decode_config = config
    poses = estimator.decode(passes)
    if isinstance(passes, DeviceLook):
        poses = _above(poses, config)
    return poses if wishes.skeleton is None else poses.to_skeleton(SKELETONS[wishes.skeleton])


def _above(poses: Poses, config: DecodeConfig) -> Poses:
    kept = poses.present & (poses.joint_scores > config.peak_threshold)
    xy, scores = np.where(kept[:, :, None], poses.xy, np.nan), np.where(kept, poses.joint_scores, 0.0)
    return replace(poses, xy=xy, joint_scores=scores).select(kept.sum(axis=1) >= config.min_joints)
