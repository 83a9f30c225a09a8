"""What a server allows, to whom, and how much of it."""

from __future__ import annotations

import ipaddress
import math
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from ltsh_deploy.errors import LtshError, UsageError

__all__ = ["ServerConfig", "is_address", "is_loopback", "resolve"]

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")


@dataclass(frozen=True)
class ServerConfig:
    """Access and limits of a server.

    Attributes:
        host: the address it listens on.
        token: what requests must bring; None for nothing.
        open_to_all: whether there is no token although ``host`` may not be this machine alone.
        origins: web pages of these other sites may use it too, such as ``https://its.name``.
        batch: pictures that go through the network together.
        batch_wait_s: a picture waits at most so long for others that are being decoded.
        decoders: threads that decode pictures.
        queue: pictures that are decoded, wait or are looked at, at any time; what is beyond is refused.
        max_bytes: of a picture, and of a body of several.
        max_message: bytes of one message on a WebSocket.
        max_uploads: bytes of all bodies that are being received, together.
        max_pixels: of a picture.
        max_pictures: of one request.
        max_rate: frames a second of one WebSocket.
        max_clients: WebSockets at a time.
        upload_s: seconds that a body, or the head of a request, may take.
        idle_s: seconds after which a WebSocket that sends nothing is closed.
        unread_s: seconds after which a client that does not read its answers is cut off.

    Raises:
        UsageError: for what cannot be, and where everybody could come without having been asked for.
        LtshError: when ``host`` must be looked up, since nothing says who may come, and stands for no address.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    open_to_all: bool = False
    origins: tuple[str, ...] = ()
    batch: int = 4
    batch_wait_s: float = 0.004
    decoders: int = 2
    queue: int = 64
    max_bytes: int = 16 << 20
    max_message: int = 4 << 20
    max_uploads: int = 256 << 20
    max_pixels: int = 50_000_000
    max_pictures: int = 16
    max_rate: float = 60.0
    max_clients: int = 64
    upload_s: float = 30.0
    idle_s: float = 120.0
    unread_s: float = 20.0

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError(
                "a token has 16 to 200 letters, digits and -._~",
                "`python -c 'import secrets; print(secrets.token_hex(16))'` makes one.",
            )
        if self.token is not None and self.open_to_all:
            raise UsageError(
                "--without-token lets everybody in, and there is a token",
                "Leave out one of them. The variable LTSH_TOKEN is a token too.",
            )
        if self.token is None and not self.open_to_all and not is_loopback(self.host):
            raise UsageError(
                f"{self.host or 'every address'} can be reached by other machines, and no token was given",
                "Give a --token, or say --without-token if everybody may use the server.",
            )
        for origin in self.origins:
            if not _is_origin(origin):
                raise UsageError(f"{origin!r} is no origin", "It looks like https://its.name or http://its.name:8080.")
        for name in (
            *("batch", "decoders", "queue", "max_bytes", "max_message"),
            *("max_uploads", "max_pixels", "max_pictures", "max_clients"),
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_rate", "upload_s", "idle_s", "unread_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be more than 0 and finite, got {getattr(self, name)}")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # The port is checked as it is asked for.
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return named and parts.scheme in ("http", "https") and text == f"{parts.scheme}://{parts.netloc}"


def is_address(host: str) -> bool:
    """Whether this is an IP address, in brackets or not, and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``, an address or a name.

    Raises:
        LtshError: when it stands for no address.
    """
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for _, address in resolve(host))


def resolve(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """What a server can listen on that is to listen on ``host``, an address, a name, or "" for all addresses.

    Raises:
        LtshError: when there is nothing.
    """
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise LtshError(f"{host}: cannot listen there ({reason})", "Choose another --host.") from None
    return [(family, str(address[0])) for family, _, _, _, address in found]
