"""The forms of requests and answers, which the OpenAPI description is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ltsh_deploy.server_errors import STATUS
from ltsh_deploy.server_pictures import Wishes

__all__ = ["Failure", "Health", "ModelInfo", "Results", "Settings", "SkeletonName", "responses"]

SkeletonName = Literal["ltsh15", "mpii16", "lsp14", "coco17", "coco18"]
Joint = Annotated[list[float], Field(min_length=3, max_length=3)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Settings(_Form):
    """What the client of a WebSocket may choose; what is left out stays."""

    threshold: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    max_side: Annotated[int, Field(strict=True, ge=64, le=1 << 16)] | None = None
    skeleton: SkeletonName | None = None
    track: StrictBool = False
    smooth: StrictBool = False

    @property
    def wishes(self) -> Wishes:
        """The part that is about single pictures."""
        return Wishes(self.threshold, self.max_side, self.skeleton)


class Problem(_Form):
    """What is wrong."""

    code: str
    message: str
    remedy: str


class Failure(_Form):
    """An answer that is an error."""

    error: Problem


class Person(_Form):
    """One person; a joint is x, y and its score, or null where it was not found."""

    score: float
    joints: list[Joint | None]


class Timing(_Form):
    """Milliseconds on the server."""

    decode_ms: float
    queue_ms: float
    network_ms: float
    grouping_ms: float
    total_ms: float


class Result(_Form):
    """The people of one picture."""

    source: str | None
    width: int
    height: int
    skeleton: str
    people: list[Person]
    timing: Timing


class FailedResult(_Form):
    """One of several pictures that cannot be used."""

    source: str | None
    error: Problem


class Results(_Form):
    """One entry for each picture, in order."""

    results: list[Result | FailedResult]


class SkeletonInfo(_Form):
    """Joints by name; limbs and pairs of left and right by the joints' indices."""

    name: str
    joints: list[str]
    limbs: list[tuple[int, int]]
    flip_pairs: list[tuple[int, int]]


class Limits(_Form):
    """What is refused beyond."""

    max_bytes: int
    max_message: int
    max_pixels: int
    max_pictures: int
    max_rate: float
    max_clients: int


class ModelInfo(_Form):
    """The model that is served, and the server's limits."""

    name: str
    network: str
    version: str
    device: str
    size: tuple[int, int]
    stride: int
    precision: str
    training_data: str
    licence: str
    notes: str
    skeleton: SkeletonInfo
    threshold: float
    limits: Limits


class Health(_Form):
    """How the server is."""

    status: Literal["ok"]


_SAID = {
    400: "The request cannot be understood.",
    401: "A token is needed.",
    403: "The server does not go by this name, or the request comes from a web page of another site.",
    408: "The body took too long.",
    413: "A limit is exceeded.",
    415: "This is no picture of a kind that is read.",
    422: "A parameter or a picture cannot be used.",
    500: "The network failed.",
    503: "Too much to do, or the end is near; Retry-After says when to come again.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Of an OpenAPI description: the errors with which a path may answer."""
    assert set(statuses) <= set(STATUS.values())
    return {status: {"model": Failure, "description": _SAID[status]} for status in statuses}
