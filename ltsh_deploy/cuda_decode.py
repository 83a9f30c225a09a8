"""The decoder on an NVIDIA GPU: results as :mod:`ltsh_deploy.decode` has them, from maps that need not leave the GPU.

What a peak and a pair of peaks are worth is the arithmetic of ``cuda_kernels/peaks.h`` and ``limbs.h``, which the
compiled decoder for the CPU shares. People are assembled on the host, from the few kilobytes that come back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy import compiled, decode
from ltsh_deploy.cuda_found import check_finite, connections_of, peaks_of, table_of
from ltsh_deploy.cuda_kernels.buffers import Layout
from ltsh_deploy.cuda_kernels.compile import Compiler
from ltsh_deploy.cuda_kernels.decoder import DeviceDecoder, Settings
from ltsh_deploy.cuda_kernels.graphs import wait_for
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.cuda_work import KernelUser, architecture_of, programs
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.device_fields import DeviceFields
from ltsh_deploy.errors import UsageError
from ltsh_deploy.fields import cells_to_pixels
from ltsh_deploy.limbs import Connections, reading_order
from ltsh_deploy.parts import import_part
from ltsh_deploy.peaks import Peaks
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = ["CudaDecoder"]

_TYPES = {"<f4": False, "<f2": True}
# What CUDA takes as the second side of a grid.
_MOST_IMAGES = 65535


class CudaDecoder(KernelUser):
    """Decodes on one GPU and one stream. A context manager; several threads may use it, and one at a time runs.

    Args:
        skeleton: of the maps.
        config: thresholds; ``max_peaks`` at most 1024.
        device: index of the GPU.
        session: the GPU's context and stream, shared with whoever computes the maps; by default one of its own.
        compiler: makes the kernels' programs; by default NVRTC or nvcc.
        cache_folder: where they are kept; by default, the user's cache.

    Raises:
        DeviceError: when there is no driver or no such GPU.
        MissingPartError: when pycuda, or a compiler for the kernels, is not installed.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        config: DecodeConfig = DecodeConfig(),
        device: int = 0,
        *,
        session: CudaSession | None = None,
        compiler: Compiler | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        self.skeleton, self.config = skeleton, config
        super().__init__("decoding by CUDA", device, session)
        with self._opening():
            architecture = architecture_of(self._session.gpu, compiler)
            peaks, limbs = programs(("peaks", "limbs"), architecture, compiler, cache_folder)
            settings = Settings(
                config.peak_threshold,
                config.max_peaks,
                config.sure_peak,
                reading_order(config.samples, config.min_samples),
                config.min_samples,
                config.sample_threshold,
                config.max_limb,
            )
            with self._session.current(), self._session.named_errors("decoding by CUDA"):
                self._cuda: Any = import_part("pycuda.driver", "decoding by CUDA", "cuda")
                ends = skeleton.limb_ends.astype(np.int32)
                self._decoder = DeviceDecoder(self._cuda, (peaks, limbs), self._session.stream, ends, settings)
                self._uploads: dict[str, Any] = {}

    def decode(self, heatmaps: Any, pafs: Any, stride: int) -> list[Poses]:
        """The people of each image, in pixels of the network's input.

        Args:
            heatmaps: [N, J, h, w] or [N, J + 1, h, w] float32 or float16: NumPy's, or anything with
                ``__cuda_array_interface__``, which is not copied. They may still be written then: on the stream that
                they name, on torch's current one if they are torch's, and on any if they name none. A last channel
                beyond the joints is background.
            pafs: [N, 2L, h, w] likewise.
            stride: pixels a cell.

        Raises:
            FieldsError: when maps hold NaN or infinity, or do not fit the skeleton.
            UsageError: for arrays of other types or shapes, or when the decoder was closed.
            LtshError: when the GPU fails.
        """
        return self._people(self._steps(heatmaps, pafs), stride)

    def decode_fields(self, fields: DeviceFields) -> list[Poses]:
        """The same of maps that a runtime left on the GPU; raises as :meth:`decode` does."""
        return self._people(self._steps(fields.heatmaps, fields.pafs, fields.stream), fields.stride)

    def find_peaks(self, heatmaps: Any) -> list[Peaks]:
        """The peaks of each image, as :func:`ltsh_deploy.peaks.find_peaks` has them.

        Args:
            heatmaps: [N, J, h, w] of joints alone, as many as there are.

        Raises:
            FieldsError, UsageError, LtshError: as :meth:`decode`.
        """
        with self._turn():
            address, shape, half = self._on_device("heat maps", heatmaps)
            n, joints, h, w = _checked("heat maps", shape)
            layout = Layout(n, joints, joints, 0, h, w, half)
            found = self._decoder.find_peaks(address, layout)
            check_finite(found, layout)
            return [peaks_of(found, image) for image in range(n)]

    def score_limbs(self, pafs: Any, peaks: Sequence[Peaks]) -> list[Connections]:
        """The connections of each image, as :func:`ltsh_deploy.limbs.score_limbs` has them.

        Args:
            pafs: [N, 2L, h, w]; whether they are finite is not looked at.
            peaks: of each image, at most the configured number a joint.

        Raises:
            FieldsError, UsageError, LtshError: as :meth:`decode`.
        """
        skeleton, most = self.skeleton, self.config.max_peaks
        with self._turn():
            address, shape, half = self._on_device("PAFs", pafs)
            n, channels, h, w = _checked("PAFs", shape)
            decode.check_channels(skeleton.num_joints, channels, skeleton)
            layout = Layout(n, skeleton.num_joints, skeleton.num_joints, skeleton.num_limbs, h, w, half)
            counts = [np.diff(each.starts) for each in peaks]
            if len(counts) != n or any(len(of) != skeleton.num_joints or (of > most).any() for of in counts):
                raise UsageError(
                    "these peaks are not those of the PAFs' images and the decoder's configuration",
                    f"Images here: {n}; joints of each: {skeleton.num_joints}; peaks of a joint: at most {most}.",
                )
            kept = np.array(counts, np.int32)
            found = self._decoder.score_limbs(address, kept, table_of(peaks, skeleton.num_joints, most), layout)
            return [connections_of(found, image, skeleton) for image in range(n)]

    def _people(self, found: list[tuple[Peaks, Connections]], stride: int) -> list[Poses]:
        steps: Any = compiled if decode.decoder_in_use() == "compiled" else decode
        people: list[Poses] = []
        for peaks, connections in found:
            poses = steps.assemble_poses(peaks, connections, self.skeleton, self.config)
            poses.xy[...] = cells_to_pixels(poses.xy, stride)
            people.append(poses)
        return people

    def _steps(self, heatmaps: Any, pafs: Any, written_on: int | None = None) -> list[tuple[Peaks, Connections]]:
        skeleton = self.skeleton
        with self._turn():
            heat, heat_shape, half = self._on_device("heat maps", heatmaps, written_on)
            paf, paf_shape, half_pafs = self._on_device("PAFs", pafs, written_on)
            n, channels, h, w = _checked("heat maps", heat_shape)
            if _checked("PAFs", paf_shape)[::2] != (n, h) or paf_shape[3] != w or half != half_pafs:
                raise UsageError(
                    f"heat maps {list(heat_shape)} and PAFs {list(paf_shape)} do not belong together",
                    "Both are [N, channels, h, w], of one type.",
                )
            decode.check_channels(channels, paf_shape[1], skeleton)
            layout = Layout(n, channels, skeleton.num_joints, skeleton.num_limbs, h, w, half)
            found = self._decoder.decode(heat, paf, layout)
            check_finite(found, layout)
            return [(peaks_of(found, image), connections_of(found, image, skeleton)) for image in range(n)]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Inside, the decoder is this thread's alone, and the GPU's context is current."""
        with self._lock:
            if self._closed:
                raise UsageError("this decoder was closed", "Open another one.")
            with self._session.current(), self._session.named_errors("decoding by CUDA"):
                yield

    def _on_device(self, name: str, array: Any, written_on: int | None = None) -> tuple[int, tuple[int, ...], bool]:
        """Address, shape, and whether of half precision.

        Args:
            name: for messages; arrays of one name are uploaded to one place.
            array: on the host or the GPU.
            written_on: the stream that it is written on, where that is known from elsewhere.
        """
        interface: Mapping[str, Any] | None = getattr(array, "__cuda_array_interface__", None)
        if interface is not None:
            if interface["typestr"] not in _TYPES or not _is_contiguous(interface):
                raise UsageError(f"the {name} are no contiguous float32 or float16 array", "Copy them into one first.")
            self._wait_for_writer(array, interface, written_on)
            return interface["data"][0], tuple(interface["shape"]), _TYPES[interface["typestr"]]
        array = np.ascontiguousarray(array)
        if array.dtype.str not in _TYPES:
            raise UsageError(f"the {name} are {array.dtype}", "They must be float32 or float16.")
        if name not in self._uploads or self._uploads[name][1] < array.nbytes:
            # No longer kept once it is freed: the allocation may fail.
            if name in self._uploads:
                self._uploads.pop(name)[0].free()
            self._uploads[name] = self._cuda.mem_alloc(max(array.nbytes, 1)), array.nbytes
        memory, _ = self._uploads[name]
        self._cuda.memcpy_htod_async(memory, array, self._session.stream)
        return int(memory), array.shape, _TYPES[array.dtype.str]

    def _wait_for_writer(self, array: Any, interface: Mapping[str, Any], written_on: int | None) -> None:
        """Let the maps be written first; streams are told by their handles."""
        if "stream" not in interface and written_on is None:
            # Version 2 of the interface, such as torch's, does not say who writes.
            torch: Any = sys.modules.get("torch")
            if torch is not None and isinstance(array, torch.Tensor):
                written_on = int(torch.cuda.current_stream(array.device).cuda_stream)
            else:
                self._cuda.Context.synchronize()
        for stream in {written_on, interface.get("stream")}:
            if stream is not None and stream != int(self._session.stream.handle):
                wait_for(self._session.stream, stream)

    def _free(self) -> None:
        self._decoder.close()
        # With it goes its hold on the stream, which can only be destroyed while the session has its context.
        del self._decoder
        for memory, _ in self._uploads.values():
            memory.free()
        self._uploads.clear()


def _is_contiguous(interface: Mapping[str, Any]) -> bool:
    """Whether strides, where they are told at all, are those of an array without gaps in the order of its axes."""
    shape, strides = interface["shape"], interface.get("strides")
    step = np.dtype(interface["typestr"]).itemsize
    for length, stride in zip(reversed(shape), reversed(strides or ()), strict=False):
        # Along an axis of one nobody steps.
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def _checked(name: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if len(shape) != 4 or 0 in shape:
        raise UsageError(f"the {name} have the shape {list(shape)}", "It must be [N, channels, h, w], of something.")
    n, channels, h, w = shape
    if h * w > (2**31 - 1) // 4 or n > _MOST_IMAGES:
        raise UsageError(f"{n} maps of {h} x {w} cells are more than fit into one batch", "Decode them in turns.")
    return n, channels, h, w
