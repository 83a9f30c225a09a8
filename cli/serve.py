"""``ltsh serve``: poses over HTTP and WebSocket, and a page for the camera."""

from __future__ import annotations

import os
from typing import Any

import click

from ltsh_deploy.cli.options import FiniteRange, parse_size

__all__ = ["command"]


@click.command("serve", short_help="Serve a page for the camera, and poses over HTTP and WebSocket.")
@click.option("--model", metavar="FILE", help="Model file, as for ltsh infer.  [default: the package's own]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="LTSH_TOKEN", show_envvar=True, help="What requests must bring; 16 characters or more.")
@click.option("--without-token", is_flag=True, help="Let everybody who reaches the port use it.")
@click.option("--allow-origin", "origins", metavar="ORIGIN", multiple=True, help="Serve the pages of this site too.")
@click.option("--certificate", metavar="FILE", help="Serve by HTTPS, with this certificate (PEM).")
@click.option("--key", metavar="FILE", help="The certificate's key, if it is in a file of its own.")
@click.option("--device", default="auto", show_default=True, help="Where the network runs: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads of the network.  [default: all cores]")
@click.option("--batch", type=click.IntRange(1, 256), help="Pictures that run together.  [default: 4 on a CPU, else 8]")
@click.option(
    "--size", metavar="WxH", callback=parse_size, help="Box that each picture is scaled into: WxH or one number."
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="Lowest score of a joint where a client asks for no other.",
)
@click.option("--max-clients", type=click.IntRange(1), default=64, show_default=True, help="WebSockets at a time.")
@click.option("--max-rate", type=FiniteRange(0.1), default=60, show_default=True, help="Frames/s of a WebSocket.")
@click.option("--max-queue", type=click.IntRange(1), default=64, show_default=True, help="Pictures in work at a time.")
@click.option("--max-mib", type=click.IntRange(1, 1024), default=16, show_default=True, help="MiB of a request.")
@click.option(
    "--max-megapixels",
    type=click.IntRange(1, 268),
    default=50,
    show_default=True,
    help="Million pixels of a picture.",
)
def command(**given: Any) -> int:
    """Serve a page that finds the people before the camera, and poses for programs: POST /v1/poses and a WebSocket.

    Only this machine can reach it, unless --host says otherwise. Ctrl-C ends it.
    """
    # OpenCV reads this when it is loaded, which nothing has done yet: a second guard behind the server's own.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(given["max_megapixels"] * 1_000_000)
    from ltsh_deploy.cli.serve_job import run

    return run(**given)
