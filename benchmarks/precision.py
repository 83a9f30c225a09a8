"""What float16 and 8 bits cost and gain on a CPU. ``python -m benchmarks.precision``.

The package's own model is converted to each precision and run by onnxruntime, on one thread. The data are third
parties': ``--lspet`` and ``--real`` say where they lie.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.report import machine, table, write_section
from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.datasets.stored import read_bytes
from ltsh_deploy.default_model import default_model
from ltsh_deploy.evaluation.evaluation import evaluate_model
from ltsh_deploy.export.accuracy import VerificationData, open_verification, verify
from ltsh_deploy.export.precision import CALIBRATION_PICTURES, Quantisation, export_precision
from ltsh_deploy.export.to_float16 import rounding_as_float16
from ltsh_deploy.images import read_image
from ltsh_deploy.onnx_files import read_model
from ltsh_deploy.runtimes import OnnxRuntime

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
_SIZES = ((256, 256), (432, 368))
_ROUNDS = 25


def draw_pictures(lspet: Path, folder: Path) -> None:
    """Write as many training pictures as calibration draws into a folder."""
    samples = open_dataset("shards", lspet, split="train")
    drawn = np.random.default_rng(0).choice(len(samples), CALIBRATION_PICTURES, replace=False)
    for number in sorted(drawn.tolist()):
        image = samples[number].image
        (folder / f"{number}.jpg").write_bytes(read_bytes(image, str(number)))


def convert(model: Path, folder: Path, pictures: Path, images: Sequence[Path]) -> dict[str, Path]:
    """The model in every precision, by the name of its row."""
    files = {"fp32": model}
    for name, precision, style in (
        ("fp16", "fp16", None),
        ("int8, for onnxruntime", "int8", "onnxruntime"),
        ("int8, for TensorRT", "int8", "tensorrt"),
    ):
        files[name] = folder / f"{name}.onnx"
        how = None if style is None else Quantisation(pictures, style)
        read = [read_image(path) for path in images]
        export_precision(model, files[name], images=read, precision=precision, quantisation=how)
    return files


def speed(files: Mapping[str, Path]) -> str:
    """Medians on one thread, one picture at a time. The files take turns: a machine that slows down slows all."""
    rows: list[list[object]] = [[name, file.stat().st_size / 1e6] for name, file in files.items()]
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        runtimes = [stack.enter_context(OnnxRuntime(file, "cpu", threads=1)) for file in files.values()]
        for width, height in _SIZES:
            image = random.integers(0, 256, (1, height, width, 3), np.uint8)
            times: list[list[float]] = [[] for _ in runtimes]
            for turn in range(3 + _ROUNDS):
                for runtime, taken in zip(runtimes, times, strict=True):
                    begin = time.perf_counter()
                    runtime.run(image)
                    if turn >= 3:
                        taken.append(1000 * (time.perf_counter() - begin))
            first = times[0]
            for row, taken in zip(rows, times, strict=True):
                ratio = statistics.median(a / b for a, b in zip(first, taken, strict=True))
                row += [statistics.median(taken), f"{ratio:.2f}"]
    header = ["precision", "MB"]
    for width, height in _SIZES:
        header += [f"ms at {width} x {height}", "times as fast as fp32"]
    return table(header, rows)


def as_on_a_gpu(half: Path) -> Path:
    """A copy of a float16 file that rounds on a CPU too."""
    path = half.with_name("rounding.onnx")
    path.write_bytes(rounding_as_float16(read_model(half)).SerializeToString())
    return path


def accuracy(files: Mapping[str, Path], sets: Mapping[str, VerificationData]) -> str:
    """Every set's own figure, and the people of whom fp32 is sure (with a score of 0.1 or more) who are lost."""
    names = list(files)
    base = files[names[0]]
    rows: list[list[object]] = []
    for title, data in sets.items():
        figure = (
            "" if data.labelled is None else evaluate_model(base, data.labelled, device="cpu", threads=1).scores.name
        )
        for name in names[1:]:
            found = verify(base, files[name], name[:4], data, device="cpu")
            figures = ["", "", ""] if found.metric is None else [found.before, found.after, f"{found.loss:+.2f}"]
            agreement = found.agreement
            lost = f"{agreement.lost} of {agreement.people}"
            rows.append([title, figure, name, *figures, lost, agreement.distance])
    header = ["data", "figure", "precision", "fp32", "this", "points lost", "people lost", "joints moved, px (median)"]
    return table(header, rows)


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--lspet", type=Path, default=SHARED / "lspet")
    parser.add_argument("--real", type=Path, default=SHARED / "real")
    given = parser.parse_args()
    real = given.real
    sets = {
        "LSPET validation, 1000 pictures": open_verification(f"shards:{given.lspet}", {"split": "val"}),
        "5 photographs of MPII": open_verification(f"mpii-json:{real / 'mpii' / 'annotations.json'}", {}),
        "4 photographs of COCO": open_verification(
            f"coco:{real / 'coco' / 'person_keypoints.json'}", {"images": str(real / "coco")}
        ),
        "20 photographs without labels": open_verification(str(real / "photos"), {}),
    }
    with tempfile.TemporaryDirectory() as name:
        folder, pictures = Path(name), Path(name) / "pictures"
        pictures.mkdir()
        draw_pictures(given.lspet, pictures)
        files = convert(given.model, folder, pictures, sorted((real / "photos").glob("*.jpg")))
        body = [
            "## Precision",
            f"`python -m benchmarks.precision`, network `{given.model.name}`, onnxruntime on the CPU, one thread. "
            f"8 bits are calibrated on {CALIBRATION_PICTURES} training pictures of LSPET. {machine()}.",
            "### Speed by precision",
            " ".join((speed.__doc__ or "").split()),
            speed(files),
            "onnxruntime computes float16 in float32 on a CPU that has no float16: it is for GPUs. So are integers in "
            "TensorRT's form, which onnxruntime runs as float32 with the rounding between.",
            "### Accuracy by precision",
            " ".join((accuracy.__doc__ or "").split()),
            accuracy(files | {"fp16": as_on_a_gpu(files["fp16"])}, sets),
            "float16 is rounded here as on a GPU. On 5 and on 4 photographs one joint more or less makes points; the "
            "1000 pictures are the measure.",
        ]
        write_section("precision", "\n\n".join(body))


if __name__ == "__main__":
    main()
