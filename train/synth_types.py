"""What the parts of the synthetic-human generator hand to each other.

World coordinates are metres, +Z up, with the ground at z = 0. A body at rest faces -Y with its left hand towards +X.
Camera coordinates: x right, y down, z forward. Pixels: the centre of the upper left pixel is (0, 0). Colours are linear
RGB unless they are uint8, which is sRGB. Shape letters: V body vertices, B bones, N figure vertices, F triangles, C
capsules, J = 16 joints in the order of MPII16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Body", "Camera", "Figure", "Light", "Pose", "PosedBody", "Regions", "Rendered", "Shape"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Regions:
    """Where each vertex of the average body lies along the limbs: garments, shoes and hair are cut along these.

    Attributes:
        arm: [V] 0 at the shoulder, 1 at the elbow, 2 at the wrist, beyond 2 on the hand; -0.6 on the trunk.
        leg: [V] 0 at the hip, 1 at the knee, 2 at the ankle; negative above the hip; -9 on the arms.
        neck: [V] metres above the base of the neck.
        arm_weight: [V] 0 to 1: how much the vertex moves with the arm and hand.
        head_weight: [V] 0 to 1: how much it moves with the head.
        head_offset: [V, 3] metres from the middle of the head.
    """

    arm: Floats
    leg: Floats
    neck: Floats
    arm_weight: Floats
    head_weight: Floats
    head_offset: Floats


@dataclass(frozen=True, eq=False)
class Body:
    """The statistical body.

    Attributes:
        mean: [V, 3] vertices of the average body at rest.
        basis: [K, V, 3] how the vertices move with each of K shape coefficients.
        bone_names: [B]; left and right end in ``.L`` and ``.R``.
        bone_parents: [B] int32; -1 for the root. A parent comes before its children.
        mean_bone_heads: [B, 3] where the bones of the average body begin.
        bone_basis: [K, B, 3] how bone heads move with the shape coefficients.
        skin_bones: [V, 6] int32 the bones that move each vertex.
        skin_weights: [V, 6] how much; each row sums to 1.
        triangles: [F, 3] int32 each, by group: "body", "tights", "skirt", "hair", "left_eye", "right_eye".
        joint_bone_weights: [J, B] whose weighted sum of bone heads is the joint; zeros for the top of the head.
        head_top: the vertex that is the top of the head.
        sample_coefficients: [M, K] shape coefficients of the bodies that the statistics were made from.
        sample_attributes: [M] values each, by name: what those bodies are like.
        regions: where the vertices lie.
    """

    mean: Floats
    basis: Floats
    bone_names: tuple[str, ...]
    bone_parents: Ints
    mean_bone_heads: Floats
    bone_basis: Floats
    skin_bones: Ints
    skin_weights: Floats
    triangles: Mapping[str, Ints]
    joint_bone_weights: Floats
    head_top: int
    sample_coefficients: Floats
    sample_attributes: Mapping[str, Floats]
    regions: Regions

    def bone(self, name: str) -> int:
        """The index of a bone."""
        return self.bone_names.index(name)

    def vertices_of(self, group: str) -> Ints:
        """The vertices that a group of triangles uses, in ascending order."""
        return np.unique(self.triangles[group]).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Shape:
    """One person's body at rest.

    Attributes:
        vertices: [V, 3].
        bone_heads: [B, 3].
        attributes: "height" in metres, "age_years", and what the body was made from, each from 0 to 1: "gender"
            (0 male, 1 female), "age", "weight", "muscle" and so on.
    """

    vertices: Floats
    bone_heads: Floats
    attributes: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Pose:
    """How a body is bent, whatever its shape.

    A limb's direction is (outward, forward, up), of unit length: "outward" is away from the body's middle on either
    side, so that a mirrored pose has its sides swapped and nothing else changed. Arms are given in the chest's frame,
    legs in the pelvis's. Index 0 is the left side, 1 the right.

    Attributes:
        name: the key pose or the motion file it came from.
        arms: [2, 2, 3] directions of upper arm and forearm, left and right.
        legs: [2, 2, 3] directions of thigh and shin, left and right.
        root: [3, 3] rotation of the pelvis; columns are the body's left, back and up in the world.
        chest: [3] forward bend, bend to the left and turn to the left of the chest from the pelvis, in degrees.
        head: [3] the same of the head from the chest.
        wrists: [2, 2] degrees of bend of each hand: towards the palm, and to the thumb's side.
        forearm_twists: [2] degrees by which each hand turns about its forearm; positive turns the palm forward.
        finger_curls: [2] degrees of bend at each finger joint.
        ankles: [2] degrees by which the toes point, where the foot is not laid flat.
        foot_turns: [2] degrees by which the toes turn outward from where the knee points.
        flat_feet: [2] whether each foot is laid flat on the ground, as far as its ankle bends.
        stance: "standing" on its feet; "seated" on something that is not there; "lying": tipped over until it rests on
            the ground; "balancing": tilted until its weight is above its support; "airborne"; "captured": any other.
        lift: metres between the ground and the lowest vertex.
    """

    name: str
    arms: Doubles
    legs: Doubles
    root: Doubles
    chest: Doubles
    head: Doubles
    wrists: Doubles
    forearm_twists: Doubles
    finger_curls: Doubles
    ankles: Doubles
    foot_turns: Doubles
    flat_feet: npt.NDArray[np.bool_]
    stance: str
    lift: float

    @property
    def upright(self) -> bool:
        """Whether the body stands on its feet."""
        return self.stance == "standing"


@dataclass(frozen=True, eq=False)
class PosedBody:
    """A shape in a pose, with its pelvis at x = y = 0 and its lowest vertex ``pose.lift`` above the ground.

    A point x of the body at rest that moves with bone b alone comes to ``rotations[b] @ x + translations[b]``.

    Attributes:
        rotations, translations: [B, 3, 3] and [B, 3].
        bone_heads: [B, 3] posed.
        vertices: [V, 3] posed.
        joints: [J, 3] posed.
        capsules_start, capsules_end: [C, 3] each; radii are ``synth_collision.CAPSULE_RADII``.
    """

    body: Body
    shape: Shape
    pose: Pose
    rotations: Floats
    translations: Floats
    bone_heads: Floats
    vertices: Floats
    joints: Floats
    capsules_start: Floats
    capsules_end: Floats

    def skin(self, rest: Floats, vertex_ids: Ints) -> Floats:
        """Pose points [N, 3] of the body at rest, such as a garment's, that move like the body vertices [N]."""
        from ltsh_deploy.train.synth_skinning import skin

        weights, bones = self.body.skin_weights[vertex_ids], self.body.skin_bones[vertex_ids]
        return skin(rest, weights, bones, self.rotations, self.translations)


@dataclass(frozen=True, eq=False)
class Figure:
    """A clothed, posed person, ready to be rendered.

    Attributes:
        vertices: [N, 3] float32.
        normals: [N, 3] float32, of unit length.
        rest: [N, 3] float32 positions on the body at rest: coordinates for textures.
        faces: [F, 3] int32.
        cut: [N] float32; fragments where the interpolated value is positive are not drawn: hems of garments.
        face_materials: [F] int32 indices into ``materials``.
        materials: [M] of ``synth_materials.MATERIAL``.
        tint: [N] float32 from -1 to 1: a second colour painted on the surface, such as lips and eyebrows.
        joints: [J, 3].
        capsules_start, capsules_end: [C, 3] each.
        attributes: what the person is like: body, pose, clothes; plain JSON values.
    """

    vertices: Floats
    normals: Floats
    rest: Floats
    faces: Ints
    cut: Floats
    face_materials: Ints
    materials: npt.NDArray[Any]
    tint: Floats
    joints: Floats
    capsules_start: Floats
    capsules_end: Floats
    attributes: Mapping[str, Any]

    def moved(self, offset: npt.ArrayLike) -> Figure:
        """The same figure elsewhere, by an offset of [3] metres."""
        step = np.asarray(offset, np.float32)
        return replace(
            self,
            vertices=self.vertices + step,
            joints=self.joints + step,
            capsules_start=self.capsules_start + step,
            capsules_end=self.capsules_end + step,
        )


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with square pixels.

    Attributes:
        rotation, centre: [3, 3] from world to camera coordinates; [3] where it stands.
        focal: focal length in pixels.
        principal: (x, y) the pixel that the optical axis meets.
        size: (width, height) in pixels.
    """

    rotation: Doubles
    centre: Doubles
    focal: float
    principal: tuple[float, float]
    size: tuple[int, int]

    @property
    def pitch(self) -> float:
        """Degrees by which the camera looks down; negative when it looks up."""
        return math.degrees(math.asin(min(1.0, max(-1.0, -float(self.rotation[2, 2])))))

    def to_camera(self, points: npt.NDArray[np.floating[Any]]) -> Doubles:
        """World points [N, 3] in camera coordinates, [N, 3]."""
        return (np.asarray(points, np.float64) - self.centre) @ self.rotation.T

    def project(self, points: npt.NDArray[np.floating[Any]]) -> tuple[Doubles, Doubles]:
        """Pixels [N, 2] at which world points [N, 3] appear, and their depths [N] in metres along the optical axis.

        A point that is not in front of the camera (depth <= 0) has NaN pixels.
        """
        local = self.to_camera(points)
        depth = local[:, 2]
        safe = np.where(depth > 0, depth, np.nan)
        return local[:, :2] / safe[:, None] * self.focal + np.array(self.principal), depth


@dataclass(frozen=True, eq=False)
class Light:
    """What falls on a surface of unit normal n: ``ambient[0] + n @ ambient[1:]`` and, where it reaches, the key light.

    Attributes:
        ambient: [4, 3] spherical harmonics of order 0 and 1 in world coordinates, by colour.
        key_direction, key_colour: [3] of unit length, towards the key light (the sun, a lamp); [3] its strength.
        contrast: the power of the light, about middle grey, that the camera's curve shows; 1 for light as it is.
    """

    ambient: Floats
    key_direction: Floats
    key_colour: Floats
    contrast: float = 1.0


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture and what each of its pixels shows.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        alpha: [H, W] float32 from 0 to 1: how much of the pixel is people.
        instances: [H, W] uint8: 0 nobody, p + 1 for figure p.
        depth: [H, W] float32 metres along the optical axis; 0 where nobody is.
        material_kind: [H, W] int8 kind of material (``synth_materials``); -1 where nobody is.
    """

    image: npt.NDArray[np.uint8]
    alpha: Floats
    instances: npt.NDArray[np.uint8]
    depth: Floats
    material_kind: npt.NDArray[np.int8]
