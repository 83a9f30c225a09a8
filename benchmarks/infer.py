"""The whole way from a picture to poses, and from the command to the first result. ``python -m benchmarks.infer``.

The pictures and the network are third parties': ``--photos`` and ``--model`` say where they lie. The network runs on
one thread, like everything else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.report import machine, table, write_section
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.images import Image, read_image

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# What `ltsh infer PICTURE --model FILE` does, a stage at a time, in a fresh process.
_STAGES = """
import time
stages = [("interpreter", float(%(begin)r), time.time())]
def done(name):
    stages.append((name, stages[-1][2], time.time()))
from ltsh_deploy.cli import main, infer
done("command line")
from ltsh_deploy.cli import infer_job
done("numpy, OpenCV, the package")
from ltsh_deploy import runtimes
estimator = infer_job.PoseEstimator.open(%(model)r)
done("onnxruntime and the network")
from ltsh_deploy.images import read_image
image = read_image(%(picture)r)
done("read the picture")
estimator(image)
done("first poses")
import json
print(json.dumps({name: 1000 * (end - begin) for name, begin, end in stages}))
"""


def stages(photos: Sequence[Image], model: Path) -> str:
    """Medians over the pictures of the time for preprocessing, network and decoding, in one thread."""
    times: dict[str, list[float]] = {"preprocess": [], "network": [], "decode": []}
    shares, people = [], 0
    with PoseEstimator.open(model, device="cpu", threads=1) as estimator:
        for image in photos:
            estimator(image)
            runs = []
            for _ in range(7):
                marks = [time.perf_counter()]
                views = estimator.prepare([image])
                marks.append(time.perf_counter())
                passes = estimator.run(views)
                marks.append(time.perf_counter())
                poses = estimator.decode(passes[0])
                marks.append(time.perf_counter())
                runs.append([1000 * (b - a) for a, b in itertools.pairwise(marks)])
            people += len(poses)
            medians = [statistics.median(column) for column in zip(*runs, strict=True)]
            for name, value in zip(times, medians, strict=True):
                times[name].append(value)
            shares.append(100 * (medians[0] + medians[2]) / medians[1])
    rows: list[list[object]] = [
        [name, statistics.median(values), min(values), max(values)] for name, values in times.items()
    ]
    rows.append(["preprocess + decode, % of the network", statistics.median(shares), min(shares), max(shares)])
    lines = table(["stage, ms a picture", "median", "least", "most"], rows)
    return f"{len(photos)} pictures, {people} people found.\n\n{lines}"


def batches(photos: Sequence[Image], model: Path) -> str:
    """Pictures of one size, by how many go through the network at once."""
    same = [cv2.resize(image, (640, 480)) for image in photos[:8]]
    rows: list[list[object]] = []
    for threads in (1, 2):
        for batch in (1, 2, 4, 8):
            with PoseEstimator.open(model, device="cpu", threads=threads, batch=batch) as estimator:
                runs = []
                for _ in range(6):
                    begin = time.perf_counter()
                    estimator(same)
                    runs.append(len(same) / (time.perf_counter() - begin))
                rows.append([threads, batch, statistics.median(runs[1:])])
    return table(["threads of the network", "batch", "pictures a second"], rows)


def start(picture: Path, model: Path) -> str:
    """From the start of the process to the first poses: medians of nine processes, files in the system's cache."""
    seen: dict[str, list[float]] = {}
    for _ in range(9):
        code = _STAGES % {"begin": time.time(), "model": str(model), "picture": str(picture)}
        out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name, value in json.loads(out).items():
            seen.setdefault(name, []).append(value)
    command = [sys.executable, "-m", "ltsh_deploy", "infer", str(picture), "--model", str(model), "--json", "-"]
    whole = []
    for _ in range(9):
        begin = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        whole.append(1000 * (time.perf_counter() - begin))
    rows: list[list[object]] = [[name, statistics.median(values)] for name, values in seen.items()]
    rows.append(["all of the above", sum(statistics.median(values) for values in seen.values())])
    rows.append(["`ltsh infer PICTURE --json -`, start to exit", statistics.median(whole)])
    return table(["stage", "ms"], rows)


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=SHARED / "models" / "coco_paf_mobilenet_v2_small.onnx")
    parser.add_argument(
        "--photos", type=Path, nargs="*", default=[SHARED / "data/real/photos", SHARED / "data/real/coco"]
    )
    given = parser.parse_args()
    files = sorted(file for folder in given.photos for file in folder.glob("*.jpg"))
    cv2.setNumThreads(1)
    photos = [read_image(file) for file in files]
    write_section(
        "infer",
        "\n\n".join(
            [
                "## From a picture to poses",
                f"`python -m benchmarks.infer`, network `{given.model.name}` at its usual size. {machine()}.",
                "### Stages",
                (stages.__doc__ or "").strip(),
                stages(photos, given.model),
                "### Batches",
                (batches.__doc__ or "").strip(),
                batches(photos, given.model),
                "### From the command to the first result",
                (start.__doc__ or "").strip(),
                start(files[0], given.model),
            ]
        ),
    )


if __name__ == "__main__":
    main()
