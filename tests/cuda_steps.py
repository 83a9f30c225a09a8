"""The CUDA decoder with decode.py's signatures, one image at a time, on whatever libcuda is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ltsh_deploy.cuda_decode import CudaDecoder
from ltsh_deploy.decode import Connections, DecodeConfig, Peaks, assemble_poses
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15, Skeleton

__all__ = ["CudaSteps"]

_DEFAULTS = DecodeConfig()


class CudaSteps:
    """Stands for the modules ``ltsh_deploy.decode`` and ``ltsh_deploy.compiled``.

    Args:
        open_decoder: makes the decoder of a skeleton and a configuration; each is opened once.
    """

    assemble_poses = staticmethod(assemble_poses)

    def __init__(self, open_decoder: Callable[[Skeleton, DecodeConfig], CudaDecoder]) -> None:
        self._open = open_decoder
        self._decoders: dict[Any, CudaDecoder] = {}

    def decoder(self, skeleton: Skeleton, config: DecodeConfig = _DEFAULTS) -> CudaDecoder:
        """The decoder for these."""
        key = skeleton.name, skeleton.joints, skeleton.limbs, config
        if key not in self._decoders:
            self._decoders[key] = self._open(skeleton, config)
        return self._decoders[key]

    def find_peaks(self, heatmaps: Any, threshold: float = 0.05, max_peaks: int = 60) -> Peaks:
        config = DecodeConfig(peak_threshold=threshold, max_peaks=max_peaks)
        return self.decoder(LTSH15, config).find_peaks(heatmaps[None])[0]

    def score_limbs(self, pafs: Any, peaks: Peaks, skeleton: Skeleton, config: DecodeConfig = _DEFAULTS) -> Connections:
        return self.decoder(skeleton, config).score_limbs(pafs[None], [peaks])[0]

    def decode_maps(self, heatmaps: Any, pafs: Any, skeleton: Skeleton, config: DecodeConfig) -> Poses:
        """In cells."""
        return self.decoder(skeleton, config).decode(heatmaps[None], pafs[None], stride=1)[0]

    def close(self) -> None:
        for decoder in self._decoders.values():
            decoder.close()
