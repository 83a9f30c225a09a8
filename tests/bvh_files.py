"""Motion files for tests, written from a small skeleton and angles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

#: Joint, parent, offset; +Y is up, the body faces +Z, the left side is at +X. Ends of limbs have names in brackets.
SKELETON: Sequence[tuple[str, str, tuple[float, float, float]]] = (
    ("Hips", "", (0, 0, 0)),
    ("LeftUpLeg", "Hips", (9, -4, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -42, 0)),
    ("LeftFoot", "LeftLeg", (0, -40, 0)),
    ("(left toes)", "LeftFoot", (1, -6, 14)),
    ("RightUpLeg", "Hips", (-9, -4, 0)),
    ("RightLeg", "RightUpLeg", (0, -42, 0)),
    ("RightFoot", "RightLeg", (0, -40, 0)),
    ("(right toes)", "RightFoot", (-1, -6, 14)),
    ("Spine", "Hips", (0, 12, 0)),
    ("Spine1", "Spine", (0, 20, 0)),
    ("Neck", "Spine1", (0, 24, 0)),
    ("Head", "Neck", (0, 10, 2)),
    ("(crown)", "Head", (0, 18, 0)),
    ("LeftShoulder", "Spine1", (4, 20, 0)),
    ("LeftArm", "LeftShoulder", (12, 0, 0)),
    ("LeftForeArm", "LeftArm", (28, 0, 0)),
    ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("(left fingers)", "LeftHand", (10, 0, 0)),
    ("RightShoulder", "Spine1", (-4, 20, 0)),
    ("RightArm", "RightShoulder", (-12, 0, 0)),
    ("RightForeArm", "RightArm", (-28, 0, 0)),
    ("RightHand", "RightForeArm", (-25, 0, 0)),
    ("(right fingers)", "RightHand", (-10, 0, 0)),
)
Frame = Mapping[str, tuple[float, ...]]


def bvh(frames: Sequence[Frame], rename: Callable[[str], str] = str, frame_time: float = 0.1, scale: float = 1) -> str:
    """A file's text.

    Args:
        frames: for joints that turn, degrees about Z, X and Y, in this order; for "at", where the root is.
        rename: what joints are called in the file.
        frame_time: seconds.
        scale: of the unit.
    """
    turning = [name for name, _, _ in SKELETON if not name.startswith("(")]

    def tree(name: str, offset: tuple[float, float, float]) -> str:
        place = "OFFSET " + " ".join(f"{value * scale:.4f}" for value in offset)
        if name.startswith("("):
            return f"End Site\n{{\n{place}\n}}\n"
        kind, channels = "JOINT", "3 Zrotation Xrotation Yrotation"
        if name == "Hips":
            kind, channels = "ROOT", "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
        below = "".join(tree(child, at) for child, parent, at in SKELETON if parent == name)
        return f"{kind} {rename(name)}\n{{\n{place}\nCHANNELS {channels}\n{below}}}\n"

    def row(frame: Frame) -> str:
        values = [value * scale for value in frame.get("at", (0, 90, 0))]
        values += [value for name in turning for value in frame.get(name, (0, 0, 0))]
        return " ".join(f"{value:.5f}" for value in values)

    head = f"MOTION\nFrames: {len(frames)}\nFrame Time: {frame_time}\n"
    return "HIERARCHY\n" + tree(*((SKELETON[0][0], SKELETON[0][2]))) + head + "\n".join(map(row, frames)) + "\n"
