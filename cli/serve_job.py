"""The work of ``ltsh serve``, once its options are known."""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import replace
from pathlib import Path

import click

from ltsh_deploy.cli import console
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import ExitCode
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.server import listen, serve, tls_context
from ltsh_deploy.server_config import ServerConfig

__all__ = ["run"]

_log = logging.getLogger("ltsh_deploy.serve")
_FILES = 1 << 16
# Every client may have one that comes, one that waits and one that is looked at.
_MAX_MESSAGE_MIB = 4


def run(
    *,
    model: str | None,
    host: str,
    port: int,
    token: str | None,
    without_token: bool,
    origins: tuple[str, ...],
    certificate: str | None,
    key: str | None,
    device: str,
    threads: int | None,
    batch: int | None,
    size: tuple[int, int] | None,
    threshold: float,
    max_clients: int,
    max_rate: float,
    max_queue: int,
    max_mib: int,
    max_megapixels: int,
) -> int:
    """Serve until a signal comes. The arguments are the options of ``ltsh serve``; its --help describes them.

    Raises:
        LtshError: for everything that keeps it from starting.
    """
    config = ServerConfig(
        host=host,
        token=token,
        open_to_all=without_token,
        origins=origins,
        max_clients=max_clients,
        max_rate=max_rate,
        queue=max_queue,
        max_bytes=max_mib << 20,
        max_message=min(max_mib, _MAX_MESSAGE_MIB) << 20,
        max_pixels=max_megapixels * 1_000_000,
    )
    tls = tls_context(certificate, key)
    path = Path(model) if model else default_model()
    with contextlib.ExitStack() as stack:
        # The socket before the network: it fails sooner.
        listener = stack.enter_context(listen(host, port))
        estimator = stack.enter_context(
            PoseEstimator.open(
                path, device=device, threads=threads, size=size, decode=DecodeConfig(peak_threshold=threshold)
            )
        )
        on_cpu = estimator.runtime.device == "cpu"
        config = replace(config, batch=batch or (4 if on_cpu else 8))
        _allow_files()
        address = _address(listener, host, tls is not None)
        _log.info("%s on %s; Ctrl-C ends it", path.name, estimator.runtime.device)
        if not console.is_quiet():
            click.echo(address)
        serve(estimator, config, path.name, listener, tls)
    return ExitCode.OK


def _address(listener: socket.socket, host: str, secure: bool) -> str:
    """What to open in a browser on this machine."""
    bound, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, host or bound)
    return f"http{'s' * secure}://{f'[{shown}]' if ':' in shown else shown}:{port}/"


def _allow_files() -> None:
    """Let the process have as many sockets as the system lets it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
