"""Who may use the server: tokens, and whose web pages."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ltsh_deploy.server_config import ServerConfig, is_address
from ltsh_deploy.server_errors import RequestError

__all__ = ["OPEN_PATHS", "PROTOCOL", "check_access", "cross_origin_headers", "is_preflight", "offered_protocols"]

#: What a browser or a watchdog needs before it has a token; nothing of it is secret.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
#: The WebSocket's subprotocol that the server picks.
PROTOCOL = "ltsh.v1"
_TOKEN_PROTOCOL = "ltsh.token."


def check_access(config: ServerConfig, path: str, scheme: str, headers: Mapping[str, str]) -> None:
    """Make sure that a request or handshake may go on.

    Args:
        config: who may come.
        path: what is asked for.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        headers: in lower case.

    Raises:
        RequestError: when it may not.
    """
    host = headers.get("host", "")
    if config.token is None and not _is_own(config, host):
        raise RequestError("host", "the server does not go by the name that it was asked for", "use its IP address")
    origin = headers.get("origin")
    if origin is not None:
        own = f"http{'s' * (scheme in ('https', 'wss'))}://{host}"
        if origin.lower() not in (own.lower(), *(each.lower() for each in config.origins)):
            raise RequestError("origin", "web pages of other sites may not use this server")
    if config.token is not None and path not in OPEN_PATHS:
        given = _tokens(headers)
        # Not by ==, whose time tells how much of a guess is right.
        if not any(secrets.compare_digest(each.encode(), config.token.encode()) for each in given):
            raise RequestError("token", "a token is needed" if not given else "this is not the server's token")


def cross_origin_headers(config: ServerConfig, headers: Mapping[str, str]) -> dict[str, str]:
    """What lets a page of an allowed site read an answer (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    origin = headers.get("origin", "")
    if origin.lower() not in (each.lower() for each in config.origins):
        return {}
    return {"access-control-allow-origin": origin, "access-control-expose-headers": "Retry-After", "vary": "Origin"}


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks for leave before it sends what a page wants; it brings no token with that."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def offered_protocols(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols that a WebSocket's client offers."""
    return [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",") if each.strip()]


def _tokens(headers: Mapping[str, str]) -> list[str]:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    found: Iterable[str] = offered_protocols(headers)
    tokens = [each.removeprefix(_TOKEN_PROTOCOL) for each in found if each.startswith(_TOKEN_PROTOCOL)]
    return [*tokens, *([bearer.strip()] if scheme.lower() == "bearer" else [])]


def _is_own(config: ServerConfig, host: str) -> bool:
    """Whether a Host is an address, or a name that nobody else can point here."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    allowed = {"localhost", config.host.lower(), *(urlsplit(origin).hostname for origin in config.origins)}
    return bool(name) and (is_address(name) or name in allowed)
