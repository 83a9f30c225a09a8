"""What stands before every path: access is checked, requests are counted, and errors get their one form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ltsh_deploy.server_access import check_access, cross_origin_headers, is_preflight
from ltsh_deploy.server_config import ServerConfig
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_metrics import Metrics

__all__ = ["Gate", "refuse"]


class Gate:
    """An ASGI application around another.

    Args:
        app: the other.
        config: who may come.
        metrics: counts requests.
        paths: the server's own; others are counted as one.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._config, self._metrics, self._paths = app, config, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        answered = False

        async def counting_send(message: Message) -> None:
            nonlocal answered
            if message["type"].endswith("http.response.start"):
                answered = True
                self._metrics.request(path, message["status"])
                message["headers"] = [*message.get("headers", ()), *_encoded(allowance)]
            await send(message)

        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1")
            # A header that comes twice counts as one list, so that nothing hides behind the first.
            headers[key] = f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
        allowance = cross_origin_headers(self._config, headers)
        if allowance and is_preflight(scope.get("method", ""), headers):
            allowance |= {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "Authorization, Content-Type",
                "access-control-max-age": "600",
            }
            await counting_send({"type": "http.response.start", "status": 204, "headers": []})
            await counting_send({"type": "http.response.body"})
            return
        try:
            check_access(self._config, scope["path"], scope["scheme"], headers)
        except RequestError as error:
            if scope["type"] == "websocket":
                await receive()
            await refuse(scope["type"], error, counting_send)
            return
        try:
            await self._app(scope, receive, counting_send)
        except asyncio.CancelledError:
            # The server ends, and has waited for this request for long enough.
            if scope["type"] == "websocket" or answered:
                raise
            await refuse("http", RequestError("ending", "the server ends"), counting_send)


async def refuse(kind: str, error: RequestError, send: Send) -> None:
    """Answer a request, or the handshake of a WebSocket, with an error.

    Args:
        kind: ``http`` or ``websocket``.
        error: why.
        send: ASGI's.
    """
    prefix = "websocket.http" if kind == "websocket" else "http"
    body = json.dumps(error.body).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **{name.lower(): value for name, value in error.headers.items()},
    }
    await send({"type": f"{prefix}.response.start", "status": error.status, "headers": _encoded(headers)})
    await send({"type": f"{prefix}.response.body", "body": body})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
