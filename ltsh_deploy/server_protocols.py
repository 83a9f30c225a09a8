"""uvicorn's protocols, hardened against clients that never finish, never read, or talk without end.

What is done here concerns the transport, which an ASGI application does not see.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["protocols"]

# A message in more pieces than this is no message: browsers and libraries send one piece.
_MAX_PIECES = 4096


def protocols(upload_s: float, unread_s: float) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """The classes for HTTP and WebSocket that uvicorn is to use.

    Args:
        upload_s: seconds that a client may take to send the head of a request.
        unread_s: seconds for which a client may leave its answers unread.
    """

    class Unread:
        """Cuts the connection when what was written is not taken."""

        transport: asyncio.Transport
        _unread_timer: asyncio.TimerHandle | None = None

        def pause_writing(self) -> None:
            super().pause_writing()  # type: ignore[misc]
            if self._unread_timer is None:
                loop = asyncio.get_running_loop()
                self._unread_timer = loop.call_later(unread_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()  # type: ignore[misc]
            self._stop_unread_timer()

        def shutdown(self) -> None:
            # Who does not read now will not read a farewell either, and would hold up the server's end.
            if self._unread_timer is not None:
                self.transport.abort()
            else:
                super().shutdown()  # type: ignore[misc]

        def connection_lost(self, error: Exception | None) -> None:
            self._stop_unread_timer()
            super().connection_lost(error)  # type: ignore[misc]

        def _stop_unread_timer(self) -> None:
            if self._unread_timer is not None:
                self._unread_timer.cancel()
                self._unread_timer = None

    class Http(Unread, H11Protocol):
        """Also closes connections on which no head of a request is completed in time."""

        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Else the end of an answer waits, for 40 ms and more, until its beginning is confirmed.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._watch_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_head()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY:
                # It was answered before all of its body came: nobody would end a body that comes without end.
                self.transport.close()
            self._watch_head()

        def connection_lost(self, error: Exception | None) -> None:
            self._stop_head_timer()
            super().connection_lost(error)

        def _watch_head(self) -> None:
            if self.conn.their_state is not h11.IDLE or self.transport.get_protocol() not in (self, None):
                self._stop_head_timer()
            elif self._head_timer is None and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(upload_s, self.transport.abort)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._stop_head_timer()
            super().handle_websocket_upgrade(event)

    class Socket(Unread, WebSocketsSansIOProtocol):
        """Also bounds what pings and pieces of messages pile up."""

        def handle_ping(self) -> None:
            # Whoever pings and does not read would fill the memory with pongs.
            if self.writable.is_set():
                super().handle_ping()
            else:
                self.transport.abort()

        def handle_cont(self, event: Any) -> None:
            if len(self.frames) >= _MAX_PIECES:
                self.transport.abort()
            else:
                super().handle_cont(event)

        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] in ("websocket.accept", "websocket.http.response.body"):
                # A refusal completes a handshake too, and so does a client that has gone. uvicorn would answer 500, and
                # write a line into the log that anybody can cause.
                self.handshake_complete = True

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
                # uvicorn would close it likewise, but write a traceback into the log for it.
                self.frames = []
                self.conn.fail(1007, "invalid UTF-8")
                self.handle_parser_exception()
                return
            super().send_receive_event_to_app()

    return Http, Socket


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
