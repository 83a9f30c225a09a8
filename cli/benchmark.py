"""``ltsh benchmark``: how long each stage takes, from reading a frame to drawing the people on it."""

from __future__ import annotations

from typing import Any

import click

from ltsh_deploy.cli.options import parse_size

__all__ = ["command"]


@click.command("benchmark")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--source",
    "names",
    metavar="FILE|DIR",
    multiple=True,
    required=True,
    help="Video, picture or folder to measure on; may be given several times.",
)
@click.option(
    "--device",
    "devices",
    metavar="NAME",
    multiple=True,
    help="cpu, cuda or cuda:N; may be given several times.  [default: each that works]",
)
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads of the network.  [default: all cores]")
@click.option("--batch", type=click.IntRange(1, 1024), default=1, show_default=True, help="Frames that run together.")
@click.option(
    "--size", metavar="WxH", callback=parse_size, help="Box that each image is scaled into.  [default: the model's own]"
)
@click.option("--frames", type=click.IntRange(1), default=200, show_default=True, help="Frames to measure.")
@click.option(
    "--warmup", type=click.IntRange(0), default=10, show_default=True, help="Frames before each round, not counted."
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    help="Turns in which the frames are measured.  [default: 5, or one a batch]",
)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as JSON.")
def command(models: tuple[str, ...], **given: Any) -> None:
    """Measure how long each stage takes, from file to drawn picture.

    The stages are read, preprocess, network, decode and draw; the figures, latencies (p50, p95, p99) and frames a
    second.

    Each MODEL (.onnx, .safetensors or .engine; the package's own where none is named) is measured on every device that
    works, all on the same frames and in turns. Short sources are read again and again.
    """
    from ltsh_deploy.cli.benchmark_job import BenchmarkJob

    BenchmarkJob(models, **given).run()
