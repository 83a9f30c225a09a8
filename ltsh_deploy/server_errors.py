"""What a client of the server did wrong, or cannot have now: a code for programs, words for people, an HTTP status."""

from __future__ import annotations

from typing import Any

__all__ = ["STATUS", "RequestError"]

#: Every code, and the status it has as an answer to an HTTP request. ``docs/server.md`` says what they mean.
STATUS = {
    "bad_request": 400,
    "token": 401,
    "origin": 403,
    "host": 403,
    "not_found": 404,
    "method": 405,
    "slow": 408,
    "too_large": 413,
    "too_many_pixels": 413,
    "too_many_pictures": 413,
    "not_a_picture": 415,
    "bad_parameter": 422,
    "bad_settings": 422,
    "damaged": 422,
    "failed": 500,
    "overload": 503,
    "ending": 503,
}
_RETRY_AFTER_S = 1


class RequestError(Exception):
    """Why a request or a frame gets no poses.

    Args:
        code: a key of :data:`STATUS`.
        message: what is wrong; nothing of the server's own files or of other clients.
        remedy: what to do; may be empty.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.remedy = code, message, remedy
        self.status = STATUS[code]

    @property
    def body(self) -> dict[str, Any]:
        """``{"error": {...}}``, as clients get it."""
        return {"error": {"code": self.code, "message": self.message, "remedy": self.remedy}}

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP wants to be said along with the status."""
        if self.status == 503:
            return {"Retry-After": str(_RETRY_AFTER_S)}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
