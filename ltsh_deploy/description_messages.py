"""What to tell a user whose model description is wrong: each fault in plain words, with what could stand there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ltsh_deploy.description_template import DEFAULT_SIZE

__all__ = ["EXAMPLES", "explain"]

_SIZE = list(DEFAULT_SIZE)
_MAPS = {"name": "the name of an output", "layout": "NCHW or NHWC", "channels": "0-18 or [0, 1, 2]"}
#: Every key of a description, and what may stand there. Those of ``input`` and the like are joined to it by a dot.
EXAMPLES: Mapping[str, str] = {
    "skeleton": "coco18, the path of a YAML file with joints and limbs, or such a mapping",
    "stride": "8 (1 to 64)",
    "size": f"{_SIZE} (width and height, in pixels)",
    "input": "{name: image} with further keys as they are needed",
    "input.name": "the name of the input",
    "input.layout": "NHWC or NCHW",
    "input.dtype": "uint8, float32 or float16",
    "input.colour": "RGB or BGR",
    "input.scale": "0.00392157 (a number other than 0)",
    "input.mean": "0.5 or [0.485, 0.456, 0.406] (one number, or three)",
    "input.std": "0.5 or [0.229, 0.224, 0.225] (one number, or three; none of them 0)",
    "heatmaps": "{name: heatmaps} with layout and channels as they are needed",
    "pafs": "{name: pafs} with layout and channels as they are needed",
    **{f"{maps}.{key}": example for maps in ("heatmaps", "pafs") for key, example in _MAPS.items()},
    "resize": '"fit, keep aspect, pad right and bottom with 128", the only rule there is',
    **dict.fromkeys(("network", "training_data", "licence", "notes", "calibration"), "a text"),
    "precision": "fp32, fp16 or int8",
}


def explain(faults: Iterable[Mapping[str, Any]]) -> str:
    """All faults that pydantic found, one after the other.

    Args:
        faults: its ``ValidationError.errors()``.
    """
    # A wrong list of three numbers is three faults to pydantic, and one to whoever wrote it.
    return "; ".join(dict.fromkeys(map(_sentence, faults)))


def _sentence(fault: Mapping[str, Any]) -> str:
    path = [part for part in fault["loc"] if isinstance(part, str)]
    key, above = ".".join(path), ".".join(path[:-1])
    if fault["type"] == "missing" and isinstance(fault["loc"][-1], str):
        return f"{key} is missing; write {EXAMPLES.get(key, 'it')}"
    if fault["type"] == "extra_forbidden":
        known = [k.removeprefix(f"{above}.") for k in EXAMPLES if k.rpartition(".")[0] == above]
        close = get_close_matches(path[-1], known, n=1)
        return f"there is no key {key!r}; " + (f"did you mean {close[0]}?" if close else f"keys are {', '.join(known)}")
    if fault["type"] == "value_error":
        problem = fault["msg"].removeprefix("Value error, ")
        return f"{key}: {problem}" if key else problem
    whole = len(fault["loc"]) == len(path) and not isinstance(fault["input"], dict)
    value = repr(fault["input"])[:80] if whole else "its value"
    return f"{key}: {value} cannot stand here; write {EXAMPLES.get(key, 'something else')}"
