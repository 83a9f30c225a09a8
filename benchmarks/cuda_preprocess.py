"""Preprocessing on this machine's GPU, beside the CPU's in the same run: ``python -m benchmarks.cuda_preprocess``.

Frames lie on the host, as a camera or a decoder of videos leaves them. "On the CPU" is until the input lies in ordinary
memory there, from where it has to be copied yet; "on the GPU" is until it lies there, copies of the frames included.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from benchmarks.report import machine, median_ms, table, write_section
from ltsh_deploy.cuda_preprocess import CudaPreprocessor
from ltsh_deploy.errors import LtshError
from ltsh_deploy.images import apply, place

BOX = 656, 368
SIZES = (640, 360), (1280, 720), (1920, 1080), (3840, 2160)


def main() -> None:
    """Measure, print, and write the section."""
    cv2.setNumThreads(1)
    try:
        preprocessor = CudaPreprocessor()
    except LtshError as error:
        sys.exit(f"{error.message}: nothing was measured.")
    rows: list[list[object]] = []
    with preprocessor:
        session = preprocessor.session

        def on_gpu(images: list[np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]]) -> None:
            placement = place((images[0].shape[1], images[0].shape[0]), BOX, 8)
            preprocessor.apply(images, [placement] * len(images))
            with session.current():
                session.stream.synchronize()

        for size in SIZES:
            placement = place(size, BOX, 8)
            for count in (1, 8):
                rng = np.random.default_rng(count)
                images = [rng.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]
                cpu = median_ms(lambda i=images, p=placement: [apply(image, p) for image in i])
                gpu = median_ms(lambda i=images: on_gpu(i))
                rows.append([f"{size[0]} x {size[1]}", count, cpu, gpu, cpu / gpu])
        body = "\n\n".join(
            [
                "## Preprocessing on a GPU",
                f"`python -m benchmarks.cuda_preprocess`, medians in milliseconds. {session.gpu}; {machine()}.",
                f"Inputs of {BOX[0]} x {BOX[1]}; OpenCV has one thread.",
                table(["frame", "frames", "on the CPU", "on the GPU", "CPU / GPU"], rows),
            ]
        )
    write_section("cuda_preprocess", body)


if __name__ == "__main__":
    main()
