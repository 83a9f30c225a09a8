"""What lies behind an HTTP address: fetched once and whole, the way browsers and curl take addresses."""

from __future__ import annotations

import string
from base64 import b64encode
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ltsh_deploy.errors import SourceError
from ltsh_deploy.images import MAX_STREAMED_BYTES

__all__ = ["fetch"]

_TIMEOUT_S = 20.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


def fetch(address: str, name: str) -> bytes:
    """What a GET of an address brings.

    A user's name and password in it go to the server it names, and to no other that this one redirects to.

    Args:
        address: http:// or https://; letters beyond ASCII and spaces may stand in it as they are.
        name: the address as it may be shown.

    Raises:
        SourceError: when it cannot be fetched, or is larger than a picture may be.
    """
    try:
        with build_opener(_LoginStays).open(_request(address), timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_STREAMED_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        raise SourceError(f"{name}: cannot be fetched: {reason}", "check the address and network") from None
    if len(data) > MAX_STREAMED_BYTES:
        raise SourceError(f"{name}: more than {MAX_STREAMED_BYTES} bytes came", "save it to a file and name that")
    return data


def _request(address: str) -> Request:
    parts = urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = (parts.hostname or "").encode("idna").decode("ascii")
        host += "" if parts.port is None else f":{parts.port}"
    # What is quoted already stays as it is.
    path, query = (quote(part, safe=string.punctuation) for part in (parts.path, parts.query))
    request = Request(urlunsplit((parts.scheme, host, path, query, "")))
    if login:
        request.add_unredirected_header("Authorization", "Basic " + b64encode(unquote(login).encode()).decode())
    return request


class _LoginStays(HTTPRedirectHandler):
    """Takes the name and password along where a server redirects to itself."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        login = req.get_header("Authorization")
        if request is not None and login is not None and _origin(newurl) == _origin(req.full_url):
            request.add_unredirected_header("Authorization", login)
        return request


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
