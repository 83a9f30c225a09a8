"""The compiled decoder: as NumPy's on any maps, safe on any input, beside other threads, and where it is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.people import random_people
from ltsh_deploy import compiled
from ltsh_deploy.cuda_kernels import cpu_library
from ltsh_deploy.cuda_kernels.sources import COMPILE_FLAGS, UNITS, fingerprint
from ltsh_deploy.decode import Connections, DecodeConfig, Peaks, decode_fields, decoder_in_use
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import MissingPartError, UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO18, LTSH15, Skeleton

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    bool(compiled.why_missing()), reason=f"needs the compiled decoder: {compiled.why_missing()}"
)

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), ((0, 1), (1, 2)), (), (0.1,) * 3)
# Both decoders compute alike but for logarithms and exponentials, which may differ in their last bit: by 4.4e-16, as
# logarithms lie between log(0.05) and 0. Of three cells that do not lie on one line, each with a weight of 0.05^2 and
# more, a discount of 0.05^2 included, the normal matrix has no eigenvalue below 6e-6, so that slopes differ by less
# than 9 * 4.4e-16 / 6e-6; half of that over the least curvature, 1e-3, is the difference in cells: 3.3e-7.
TOLERANCE = 4e-7


def by(decoder: str, fields: Fields, skeleton: Skeleton, config: DecodeConfig | None = None) -> Poses:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTSH_DECODER", decoder)
        return decode_fields(fields, skeleton, config or DecodeConfig())


def assert_same_poses(got: Poses, want: Poses) -> None:
    assert len(got) == len(want)
    assert got.dropped_peaks == want.dropped_peaks
    np.testing.assert_array_equal(got.present, want.present)
    np.testing.assert_allclose(got.xy, want.xy, rtol=0, atol=8 * TOLERANCE)
    np.testing.assert_allclose(got.joint_scores, want.joint_scores, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(got.scores, want.scores, rtol=0, atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([LTSH15, COCO18, ARM]),
    st.sampled_from(["people", "noise", "levels"]),
    st.builds(
        DecodeConfig,
        max_peaks=st.integers(1, 70),
        samples=st.integers(8, 12),
        min_samples=st.integers(1, 8),
        sample_threshold=st.sampled_from([-0.1, 0.0, 0.01, 0.2]),
        min_joints=st.integers(1, 20),
        max_limb=st.sampled_from([0.1, 0.5, 2.0]),
    ),
)
def test_any_maps_make_the_same_people_as_by_numpy(
    seed: int, size: tuple[int, int], skeleton: Skeleton, kind: str, config: DecodeConfig
) -> None:
    rng = np.random.default_rng(seed)
    h, w = size
    if kind == "people" and skeleton is not ARM:
        people = random_people(rng, int(rng.integers(0, 12)), skeleton, (w * 8, h * 8), apart=0, inside=False)
        fields = encode_fields(people, skeleton, size)
    else:
        heatmaps = rng.random((skeleton.num_joints, *size), np.float32)
        pafs = rng.uniform(-1, 1, (2 * skeleton.num_limbs, *size)).astype(np.float32)
        if kind == "levels":
            heatmaps, pafs = (np.round(maps * 3).astype(np.float32) / np.float32(4) for maps in (heatmaps, pafs))
        fields = Fields(heatmaps, pafs, 8)
    assert_same_poses(*(in_order(by(decoder, fields, skeleton, config)) for decoder in ("compiled", "numpy")))


def in_order(poses: Poses) -> Poses:
    """By where people are: of two with one score, the last bit of a logarithm may say who comes first."""
    # Peaks serve one person each, so people who share a joint's kind differ in where it is.
    places = np.round(np.where(poses.present[:, :, None], poses.xy, -1e6), 4).reshape(
        len(poses), 2 * poses.skeleton.num_joints
    )
    return poses.select(np.lexsort(places.T))


def test_a_skeleton_of_very_many_joints_is_assembled() -> None:
    """More than there are bits in a word."""
    count = 130
    numbers = np.arange(count)
    names, limbs = tuple(f"j{i}" for i in numbers), tuple((int(i), int(i) + 1) for i in numbers[:-1])
    chain = Skeleton("chain", names, limbs, (), (0.1,) * count)
    peaks = Peaks(numbers, np.ones((count, 2)), np.ones(count), np.arange(count + 1), np.zeros(count, int))
    links = Connections(numbers[:-1], numbers[:-1], numbers[1:], np.full(count - 1, 0.5))
    poses = compiled.assemble_poses(peaks, links, chain)
    assert len(poses) == 1
    assert poses.present.all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45])
def test_steps_end_whatever_numbers_the_maps_hold(value: float) -> None:
    rng = np.random.default_rng(1)
    heatmaps = rng.random((15, 17, 13), np.float32)
    pafs = rng.uniform(-1, 1, (2 * LTSH15.num_limbs, 17, 13)).astype(np.float32)
    for maps in (heatmaps, pafs):
        maps[rng.random(maps.shape) < 0.3] = value
    peaks = compiled.find_peaks(heatmaps)
    connections = compiled.score_limbs(pafs, peaks, LTSH15)
    poses = compiled.assemble_poses(peaks, connections, LTSH15)
    assert (connections.scores > 0).all()
    assert len(poses) <= len(peaks)
    assert len(compiled.find_peaks(np.full((1, 5, 5), np.nan, np.float32))) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_peaks_at_no_place_are_not_joined_and_read_nothing_off_the_map(value: float) -> None:
    peaks = peaks_of_arm(xy=np.array([[1, 1], [value, 2], [3, value]]))
    found = compiled.score_limbs(np.ones((4, 5, 5), np.float32), peaks, ARM)
    assert len(found.limbs) == 0


def peaks_of_arm(**changes: Any) -> Peaks:
    whole = {
        "joints": np.arange(3), "xy": np.ones((3, 2)), "scores": np.ones(3), "starts": np.arange(4),
        "dropped": np.zeros(3, int),
    }  # fmt: skip
    return Peaks(**whole | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"starts": np.array([0, 2, 1, 3])},
        {"starts": np.array([0, 1, 2, 9])},
        {"starts": np.array([-1, 1, 2, 3])},
        {"starts": np.arange(3)},
        {"scores": np.ones(2)},
    ],
)
def test_peaks_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, IndexError)):
        compiled.score_limbs(np.ones((4, 5, 5), np.float32), peaks_of_arm(**changes), ARM)


def test_indices_that_lead_nowhere_are_refused() -> None:
    def links(first: int, second: int) -> Connections:
        return Connections(np.zeros(1, int), np.array([first]), np.array([second]), np.ones(1))

    for first, second in ((3, 0), (0, -1), (2**40, 0)):
        with pytest.raises(ValueError, match="contradict"):
            compiled.assemble_poses(peaks_of_arm(), links(first, second), ARM)
    with pytest.raises(ValueError, match="contradict"):
        compiled.assemble_poses(peaks_of_arm(joints=np.array([0, 1, 3])), links(0, 1), ARM)
    with pytest.raises(ValueError, match="need 4 channels"):
        compiled.score_limbs(np.ones((3, 5, 5), np.float32), peaks_of_arm(), ARM)


def noise(size: tuple[int, int]) -> Fields:
    rng = np.random.default_rng(5)
    return Fields(rng.random((19, *size), np.float32), rng.uniform(-1, 1, (38, *size)).astype(np.float32), 8)


def test_many_threads_get_what_one_gets() -> None:
    fields = noise((46, 54))
    alone = by("compiled", fields, COCO18)
    with ThreadPoolExecutor(8) as pool:
        for poses in pool.map(lambda _: decode_fields(fields, COCO18), range(40)):
            np.testing.assert_array_equal(poses.xy, alone.xy)
            np.testing.assert_array_equal(poses.scores, alone.scores)


def test_other_threads_run_while_it_works() -> None:
    fields, config = noise((184, 216)), DecodeConfig(max_peaks=300)
    worker = threading.Thread(target=by, args=("compiled", fields, COCO18, config))
    worker.start()
    turns = 0
    while worker.is_alive():
        turns += 1
    # A thread that waited for a lock through the whole call would come round a few times, before and after it.
    assert turns > 1000


def test_the_environment_chooses_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, runs in (("", "compiled"), ("compiled", "compiled"), ("numpy", "numpy")):
        monkeypatch.setenv("LTSH_DECODER", value)
        assert decoder_in_use() == runs
    monkeypatch.setenv("LTSH_DECODER", "fast")
    with pytest.raises(UsageError, match="'fast'"):
        decoder_in_use()


def test_where_it_is_missing_numpy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "why_missing", lambda: "it was not built")
    monkeypatch.setenv("LTSH_DECODER", "")
    assert decoder_in_use() == "numpy"
    assert len(decode_fields(noise((12, 12)), COCO18)) >= 0
    monkeypatch.setenv("LTSH_DECODER", "compiled")
    with pytest.raises(MissingPartError, match="it was not built") as raised:
        decoder_in_use()
    assert "pip install" in raised.value.remedy


def compile_library(path: Path, *flags: str, sources: str = "") -> None:
    compiler = shutil.which("g++")
    assert compiler, "the decoder was built here, so there is a compiler"
    folder = Path(cpu_library.__file__).parent
    line = [compiler, "-shared", "-fPIC", *COMPILE_FLAGS, *flags, f'-DLTSH_SOURCES="{sources or fingerprint()}"']
    subprocess.run([*line, *(folder / unit for unit in UNITS), "-o", path], check=True, timeout=300)


@pytest.mark.slow
def test_a_library_of_other_sources_or_none_at_all_is_not_run(tmp_path: Path) -> None:
    other = tmp_path / "other.so"
    compile_library(other, "-O0", sources="0123456789abcdef")
    with pytest.raises(OSError, match="other sources"):
        cpu_library.CpuLibrary(other)
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(OSError, match=r"broken\.so"):
        cpu_library.CpuLibrary(broken)


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    """What this module and test_decode.py decode, by a library that stops at any misuse of memory or of a number."""
    library = tmp_path / "decoder.so"
    compile_library(library, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    found = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    plugin = tmp_path / "sanitized.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "from ltsh_deploy import compiled\n"
        "from ltsh_deploy.cuda_kernels.cpu_library import CpuLibrary\n"
        f"library = CpuLibrary(Path({str(library)!r}))\n"
        "compiled.load_library = lambda: library\n"
    )
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "sanitized", "-p", "no:cacheprovider", "-n", "0"),
            *("-k", "compiled", "-m", "not slow"),
            *("tests/test_decode.py", "tests/test_compiled.py"),
        ],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(tmp_path),
            "LD_PRELOAD": " ".join(found),
            # Python itself leaves memory to the system at its end; and its own allocator would hide small overruns.
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed
    assert int(passed[1]) > 100
    assert "skipped" not in run.stdout
