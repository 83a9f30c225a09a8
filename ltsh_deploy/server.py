"""Running the server: an address to listen on, uvicorn, and an end that is orderly."""

from __future__ import annotations

import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.errors import InputError, LtshError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.parts import import_part
from ltsh_deploy.server_config import ServerConfig, resolve

__all__ = ["listen", "make_server", "serve", "tls_context"]

_ENDING_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: an address or name; the first address that it stands for.
        port: 0 for one that is free.

    Raises:
        LtshError: when that cannot be.
    """
    family, address = resolve(host)[0]
    try:
        return socket.create_server((address, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise LtshError(f"{host}:{port}: cannot listen there ({reason})", "Choose another --port or --host.") from None


def tls_context(certificate: str | Path | None, key: str | Path | None) -> ssl.SSLContext | None:
    """What makes it HTTPS; None where no certificate was given.

    Raises:
        UsageError: for a key without a certificate.
        InputError: when the files cannot be used.
    """
    if certificate is None:
        if key is not None:
            raise UsageError("--key is the key of a --certificate, which was not given")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise InputError(
            f"{certificate}: no certificate with its key can be read ({reason})",
            "Give both as PEM files, the key without a password.",
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def make_server(
    estimator: PoseEstimator, config: ServerConfig, model_name: str, tls: ssl.SSLContext | None = None
) -> Any:
    """uvicorn's server, which runs when ``run(sockets=[...])`` is called.

    Raises:
        MissingPartError: when a package of the ``serve`` extra is not installed.
    """
    for package in ("fastapi", "prometheus_client", "python_multipart", "websockets"):
        import_part(package, "The server", "serve")
    uvicorn = import_part("uvicorn", "The server", "serve")
    from ltsh_deploy.server_app import create_app
    from ltsh_deploy.server_protocols import protocols

    # They warn of every request that is nonsense: whoever sends many would fill the log.
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)
    http, websocket = protocols(config.upload_s, config.unread_s)
    settings = uvicorn.Config(
        create_app(estimator, config, model_name),
        http=http,
        ws=websocket,
        ws_max_size=config.max_message,
        # Pictures are compressed; and what is not inflated cannot be inflated without end.
        ws_per_message_deflate=False,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_ENDING_S,
    )
    return uvicorn.Server(settings)


def serve(
    estimator: PoseEstimator,
    config: ServerConfig,
    model_name: str,
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until a signal ends it, which is then raised again.

    Args:
        estimator: finds the people; the caller closes it.
        config: who may come, and the limits.
        model_name: what clients are told.
        listener: of :func:`listen`; it is closed at the end.
        tls: of :func:`tls_context`.

    Raises:
        MissingPartError: when a package of the ``serve`` extra is not installed.
        LtshError: when the network fails on a grey picture: nobody would be served.
    """
    server = make_server(estimator, config, model_name, tls)
    width, height = estimator.size
    estimator(np.full((height, width, 3), 128, np.uint8))
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
