"""``ltsh infer``: find the people in pictures, videos, cameras and streams."""

from __future__ import annotations

from typing import Any

import click

from ltsh_deploy.cli.options import FiniteRange, parse_scales, parse_size

__all__ = ["command"]


@click.command("infer", short_help="Find people's poses in pictures, videos and cameras.")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--model", metavar="FILE", help="Model file: .onnx, .safetensors or .engine.  [default: the package's own]"
)
@click.option("--device", default="auto", show_default=True, help="Where the network runs: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads of the network.  [default: all cores]")
@click.option("--batch", type=click.IntRange(1, 1024), help="Frames that run together.  [default: 1 on a CPU, else 8]")
@click.option(
    "--size", metavar="WxH", callback=parse_size, help="Box that each image is scaled into: WxH or one number."
)
@click.option(
    "--scales",
    metavar="LIST",
    callback=parse_scales,
    default="1",
    show_default=True,
    help="Look at each image at these multiples of the size, and average: 0.7,1,1.3.",
)
@click.option("--flip", is_flag=True, help="Look at the mirror image too, and average.")
@click.option(
    "--threshold",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="Lowest score of a joint.",
)
@click.option("--skeleton", metavar="NAME|FILE", help="Give the joints of another skeleton, matched by name.")
@click.option("--draw", metavar="DIR|FILE", help="Draw the people into pictures or videos here.")
@click.option("--json", "json_target", metavar="FILE|-", help="Write the poses here; - is stdout.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "openpose", "coco", "csv"]),
    default="jsonl",
    show_default=True,
    help="Format of --json.",
)
@click.option(
    "--max-frames", type=click.IntRange(1, 10**9), metavar="N", help="Take so many frames of each source, no more."
)
@click.option("--show", is_flag=True, help="Show the drawn people in a window; Q or Escape ends it.")
@click.option("--track", is_flag=True, help="Give people ids that last from frame to frame.")
@click.option("--smooth", is_flag=True, help="Track, and smooth the joints over time.")
def command(sources: tuple[str, ...], **given: Any) -> int:
    """Find the people in each SOURCE and write, draw or show their poses.

    A SOURCE is a picture, a folder, a quoted pattern ('*.jpg'), a video, a camera's number, an rtsp:// or http://
    address, or - for a picture or a stream (MJPEG, y4m) on stdin.

    One source is read after the other. As soon as one has no end (a camera, a stream, stdin), all are read at once,
    in fair turns: cameras and streams give their newest frame, files give every frame.

    A source that cannot be read is reported, and decides the exit code; the others are done.
    """
    from ltsh_deploy.cli.infer_job import InferJob
    from ltsh_deploy.default_model import default_model

    given["model"] = given["model"] or str(default_model())
    return InferJob(sources, **given).run()
