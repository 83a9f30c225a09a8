"""Whether bodies run into themselves or each other: capsules first, vertices where capsules cannot tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_rotations import Doubles
from ltsh_deploy.train.synth_types import Body, Figure, Floats, PosedBody

__all__ = [
    "CAPSULE_NAMES",
    "CAPSULE_RADII",
    "capsules_of",
    "centre_of_mass",
    "figures_collide",
    "mesh_penetration",
    "segment_distances",
    "self_collision",
]


@dataclass(frozen=True)
class _Capsule:
    """A part of the body: from one bone's head to another's, ``None`` for the top of the head; radius in metres."""

    name: str
    start: str
    end: str | None
    radius: float


def _side(suffix: str) -> tuple[_Capsule, ...]:
    def part(name: str, start: str, end: str, radius: float) -> _Capsule:
        return _Capsule(f"{name}.{suffix}", f"{start}.{suffix}", f"{end}.{suffix}", radius)

    return (
        part("upperarm", "upperarm01", "lowerarm01", 0.045),
        part("forearm", "lowerarm01", "wrist", 0.038),
        part("hand", "wrist", "finger3-2", 0.035),
        part("thigh", "upperleg01", "lowerleg01", 0.075),
        part("shin", "lowerleg01", "foot", 0.05),
        part("foot", "foot", "toe2-1", 0.045),
    )


_CAPSULES = (
    _Capsule("pelvis", "root", "spine03", 0.125),
    _Capsule("chest", "spine02", "neck01", 0.125),
    _Capsule("head", "neck03", None, 0.095),
    *_side("L"),
    *_side("R"),
)
CAPSULE_NAMES = tuple(capsule.name for capsule in _CAPSULES)
#: [C] metres.
CAPSULE_RADII: Floats = np.array([capsule.radius for capsule in _CAPSULES], np.float32)
CAPSULE_RADII.flags.writeable = False

# The stature of the body that the radii were chosen for.
_STATURE = 1.7
# Metres by which the capsules of two people may run into each other, above which the people surely do; and, negative,
# below which they surely do not: umbrellas, bags and skirts reach this far. Between the two, vertices are looked at.
_SURELY_APART, _SURELY_IN_EACH_OTHER = -0.7, 0.02
# A vertex this far behind the other's surface is in the other.
_DEEP = 0.003
# Vertices further than this from the other's are not near its surface.
_NEAR = 0.06

_TINY = 1e-12

# Parts that touch in any pose.
_TRUNK = {"pelvis", "chest", "head"}
_NEIGHBOURS = (
    {"upperarm", "forearm"},
    {"forearm", "hand"},
    {"upperarm", "hand"},
    {"thigh", "shin"},
    {"shin", "foot"},
)


def _may_touch(first: str, second: str) -> bool:
    (one, _, one_side), (two, _, two_side) = first.partition("."), second.partition(".")
    if one in _TRUNK:
        return two in _TRUNK | {"upperarm", "thigh"}
    return {one, two} == {"thigh"} or (one_side == two_side and {one, two} in _NEIGHBOURS)


_PAIRS = np.array(
    [
        (i, j)
        for i in range(len(_CAPSULES))
        for j in range(i + 1, len(_CAPSULES))
        if not _may_touch(CAPSULE_NAMES[i], CAPSULE_NAMES[j])
    ]
).T


def capsules_of(body: Body, bone_heads: Doubles, head_top: Floats | Doubles) -> tuple[Doubles, Doubles]:
    """Where the capsules begin and end: [C, 3] each, of posed bone heads [B, 3] and the top of the head [3]."""
    index = {name: bone for bone, name in enumerate(body.bone_names)}
    starts = bone_heads[[index[capsule.start] for capsule in _CAPSULES]]
    ends = np.stack([head_top if c.end is None else bone_heads[index[c.end]] for c in _CAPSULES])
    # The head's own capsule ends within the head, not above it.
    crown = CAPSULE_NAMES.index("head")
    along = ends[crown] - starts[crown]
    length = float(np.linalg.norm(along))
    ends[crown] -= along / length * min(length, _CAPSULES[crown].radius)
    return starts, ends.astype(np.float64)


def centre_of_mass(starts: Doubles, ends: Doubles) -> Doubles:
    """[3] of capsules [C, 3] that are as dense as each other."""
    radii = CAPSULE_RADII.astype(np.float64)
    lengths = np.linalg.norm(ends - starts, axis=1)
    masses = math.pi * radii**2 * (lengths + radii * (4 / 3))
    middle: Doubles = masses @ (starts + ends) / (2 * masses.sum())
    return middle


def self_collision(posed: PosedBody) -> float:
    """Metres by which two parts of the body that should not touch run into each other; negative where none do."""
    starts, ends = posed.capsules_start.astype(np.float64), posed.capsules_end.astype(np.float64)
    first, second = _PAIRS
    gaps = segment_distances(starts[first], ends[first], starts[second], ends[second])
    scale = posed.shape.attributes["height"] / _STATURE
    return float((scale * (CAPSULE_RADII[first] + CAPSULE_RADII[second]) - gaps).max())


def figures_collide(first: Figure, second: Figure) -> bool:
    """Whether two people, clothes included, are in each other."""
    starts, ends = first.capsules_start.astype(np.float64), first.capsules_end.astype(np.float64)
    others = second.capsules_start.astype(np.float64), second.capsules_end.astype(np.float64)
    gaps = segment_distances(starts[:, None], ends[:, None], others[0][None], others[1][None])
    overlap = float((CAPSULE_RADII[:, None] + CAPSULE_RADII[None] - gaps).max())
    if overlap < _SURELY_APART:
        return False
    if overlap > _SURELY_IN_EACH_OTHER:
        return True
    return mesh_penetration(first, second) > _DEEP


def mesh_penetration(first: Figure, second: Figure) -> float:
    """Metres by which vertices of one person lie behind the nearest vertices of the other; 0 where none do.

    What is cut off garments does not count. Vertices more than 6 cm from any of the other's are left out: wherever a
    surface enters another, some of its vertices are nearer.
    """
    low = np.maximum(first.vertices.min(axis=0), second.vertices.min(axis=0)) - _NEAR
    high = np.minimum(first.vertices.max(axis=0), second.vertices.max(axis=0)) + _NEAR
    if np.any(low > high):
        return 0.0
    one, other = (_drawn_within(figure, low, high) for figure in (first, second))
    # Most people whose boxes overlap are nowhere near each other, which cells as wide as that distance show at once.
    cells = tuple(((high - low) / _NEAR).astype(int) + 3)
    places = [((points - low) / _NEAR).astype(int) + 1 for points, _ in (one, other)]
    near = [_around(cells, own)[tuple(others.T)] for own, others in (places[::-1], places)]
    one, other = (one[0][near[0]], one[1][near[0]]), (other[0][near[1]], other[1][near[1]])
    return max(_depth_behind(one[0], *other), _depth_behind(other[0], *one))


def _around(shape: tuple[int, ...], cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """A grid with these cells [N, 3] and their neighbours marked; none of them is at its border."""
    marked = np.zeros(shape, bool)
    marked[tuple(cells.T)] = True
    for axis in range(3):
        marked = marked | np.roll(marked, 1, axis) | np.roll(marked, -1, axis)
    return marked


def _drawn_within(figure: Figure, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Vertices [N, 3] of a figure in a box, and their normals [N, 3]."""
    inside = figure.cut <= 0
    for axis in range(3):
        inside &= (figure.vertices[:, axis] >= low[axis]) & (figure.vertices[:, axis] <= high[axis])
    return figure.vertices[inside], figure.normals[inside]


def _depth_behind(points: Floats, surface: Floats, normals: Floats) -> float:
    """Metres by which a point is behind the nearest of a surface's vertices, at most; 0 for none."""
    from scipy.spatial import cKDTree

    if not len(points) or not len(surface):
        return 0.0
    distances, nearest = cKDTree(surface, balanced_tree=False).query(points, distance_upper_bound=_NEAR)
    found = np.isfinite(distances)
    nearest = nearest[found]
    heights = np.einsum("ni,ni->n", points[found] - surface[nearest], normals[nearest])
    return float(max(0.0, -heights.min(initial=0.0)))


def segment_distances(start: Doubles, end: Doubles, other_start: Doubles, other_end: Doubles) -> Doubles:
    """Distances [...] between line segments, whose ends [..., 3] may broadcast.

    After C. Ericson, Real-Time Collision Detection, 5.1.9: the nearest points of the two lines, of which first one and
    then the other is brought back to its segment.
    """
    along, other_along, between = end - start, other_end - other_start, start - other_start
    a, e = np.sum(along * along, axis=-1), np.sum(other_along * other_along, axis=-1)
    b, c = np.sum(along * other_along, axis=-1), np.sum(along * between, axis=-1)
    f = np.sum(other_along * between, axis=-1)
    safe_a, safe_e = np.maximum(a, _TINY), np.maximum(e, _TINY)
    determinant = a * e - b * b
    parallel = determinant <= _TINY * a * e
    s = np.where(parallel, 0.0, np.clip((b * f - c * e) / np.where(parallel, 1.0, determinant), 0, 1))
    t = (b * s + f) / safe_e
    # Where the other segment is a point, its start and its end are the same.
    at_start = (t < 0) | (e <= _TINY)
    s = np.where(at_start, np.clip(-c / safe_a, 0, 1), np.where(t > 1, np.clip((b - c) / safe_a, 0, 1), s))
    t = np.clip(t, 0, 1)
    apart = between + s[..., None] * along - t[..., None] * other_along
    distances: Doubles = np.sqrt(np.sum(apart * apart, axis=-1))
    return distances
