"""The CUDA decoder on this machine's GPU, beside NumPy's in the same run: ``python -m benchmarks.cuda_decode``.

Maps lie on the GPU already, as a network leaves them. "On the GPU" is from the call to the copied results: peaks,
scores, assignment, copy; "all" adds the assembly of people on the host.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from benchmarks.people import random_people
from benchmarks.report import machine, median_ms, table, write_section
from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.cuda_kernels.buffers import Layout
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.decode import decode_fields
from ltsh_deploy.device_fields import DeviceArray
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import LtshError
from ltsh_deploy.skeletons import COCO18

SIZE = 46, 82
CASES = ((1, 1), (1, 10), (1, 30), (1, 60), (16, 10), (16, 60))


def main() -> None:
    """Measure, print, and write the section."""
    os.environ["LTSH_DECODER"] = "numpy"
    try:
        session = CudaSession(0, "this benchmark")
    except LtshError as error:
        sys.exit(f"{error.message}: nothing was measured.")
    rows: list[list[object]] = []
    micro: dict[tuple[int, int], float] = {}
    ratio = 0.0
    with CudaDecoder(COCO18, session=session) as decoder:
        for images, people in CASES:
            fields = []
            for image in range(images):
                rng = np.random.default_rng([image, people])
                xy = random_people(rng, people, COCO18, (SIZE[1] * 8, SIZE[0] * 8), apart=0, inside=False)
                fields.append(encode_fields(xy, COCO18, SIZE))
            held, arrays = [], []
            with session.current():
                for maps in (np.stack([f.heatmaps for f in fields]), np.stack([f.pafs for f in fields])):
                    memory, pinned = session.allocate(maps.nbytes), session.pinned(maps.shape, maps.dtype)
                    pinned[...] = maps
                    session.upload(memory, pinned)
                    held.append(pinned)
                    arrays.append(DeviceArray(memory, maps.shape, maps.dtype, int(session.stream.handle)))
                session.stream.synchronize()
                layout = Layout(images, len(fields[0].heatmaps), 18, 19, *SIZE, half=False)
                heat, paf = (int(array.memory) for array in arrays)
                on_gpu = 1000 * median_ms(lambda h=heat, p=paf, a=layout: decoder._decoder.decode(h, p, a), 200)
            whole = 1000 * median_ms(lambda a=arrays: decoder.decode(*a, stride=8), 200)
            numpy = 1000 * median_ms(lambda f=fields: [decode_fields(each, COCO18) for each in f], 9)
            micro[images, people] = on_gpu
            ratio = numpy / on_gpu if (images, people) == (1, 10) else ratio
            rows.append([images, people, on_gpu, whole, numpy, numpy / on_gpu, numpy / whole])
    crowd, batch = micro[1, 60] / micro[1, 10], micro[16, 10] / micro[1, 10]
    goals = [
        ("1 frame, 10 people, microseconds on the GPU", "at most 100", micro[1, 10], micro[1, 10] <= 100),
        ("60 people, times the time for 10", "at most 2", crowd, crowd <= 2),
        ("16 frames, times the time for 1", "at most 3", batch, batch <= 3),
        ("NumPy's time over the GPU's, 10 people", "at least 20", ratio, ratio >= 20),
    ]
    body = "\n\n".join(
        [
            "## Decoder on a GPU",
            f"`python -m benchmarks.cuda_decode`, medians. {session.gpu}; {machine()}.",
            f"Maps of {SIZE[0]} x {SIZE[1]} cells, COCO18, on the GPU already. Times in microseconds.",
            table(["goal", "", "measured", "kept"], [[*goal, "yes" if kept else "no"] for *goal, kept in goals]),
            table(["frames", "people", "on the GPU", "all", "NumPy", "NumPy / on the GPU", "NumPy / all"], rows),
        ]
    )
    write_section("cuda_decode", body)
    session.close()


if __name__ == "__main__":
    main()
