"""The work of ``ltsh benchmark``, once its options are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from ltsh_deploy.cli import console
from ltsh_deploy.cli.benchmark_report import as_text
from ltsh_deploy.decode import decoder_in_use
from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import DeviceError, MissingPartError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Source
from ltsh_deploy.machine import describe_machine
from ltsh_deploy.nvidia_driver import find_gpu
from ltsh_deploy.sources import open_sources
from ltsh_deploy.stage_times import STAGES, Plan, StageTimes, measure_stages

__all__ = ["BenchmarkJob"]

_RUNTIMES = {".onnx": "onnxruntime", ".safetensors": "torch", ".engine": "TensorRT"}
_USUAL_ROUNDS = 5


@dataclass(frozen=True)
class _Entry:
    """One network on one device."""

    model: str
    runtime: str
    estimator: PoseEstimator


class BenchmarkJob:
    """One measurement. The arguments are the options of ``ltsh benchmark``; its --help describes them.

    Raises:
        LtshError: before anything is measured, for everything that would stop it.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        names: Sequence[str],
        devices: Sequence[str],
        threads: int | None,
        batch: int,
        size: tuple[int, int] | None,
        frames: int,
        warmup: int,
        rounds: int | None,
        as_json: bool,
    ) -> None:
        self.plan = Plan(frames, warmup, rounds or max(1, min(_USUAL_ROUNDS, frames // batch)), batch)
        self.names, self.as_json, self.threads, self.size = names, as_json, threads, size
        for source in self._open_sources():
            # Addresses, which have "://" in their names, would be fetched again for every frame.
            if source.kind not in ("image", "video") or "://" in source.name:
                raise UsageError(
                    f"{source.name}: comes at a pace of its own, and that is what would be measured",
                    "Name a video file, a picture or a folder; what lies elsewhere, copy here first.",
                )
        self.not_run: list[dict[str, str]] = []
        self.entries: list[_Entry] = []
        self.machine, self.decoder = describe_machine(), decoder_in_use()
        try:
            self._open_models(models or [str(default_model())], devices)
        except BaseException:
            self._close()
            raise

    def _open_sources(self) -> list[Source]:
        return open_sources(self.names)

    def _open_models(self, models: Sequence[str], devices: Sequence[str]) -> None:
        """Open each model on the devices that were asked for, or else on each that works."""
        missing: list[MissingPartError] = []
        for model in models:
            suffix = Path(model).suffix.lower()
            usual = ("cuda",) if suffix == ".engine" else ("cpu", "cuda")
            for device in devices or usual:
                try:
                    estimator = PoseEstimator.open(model, device=device, threads=self.threads, size=self.size)
                except MissingPartError as error:
                    if devices:
                        raise
                    missing.append(error)
                    self.not_run.append({"model": model, "device": device, "reason": error.message})
                else:
                    self.entries.append(_Entry(model, _RUNTIMES[suffix], estimator))
        if not self.entries:
            raise missing[0]

    def run(self) -> None:
        """Do it, and print the figures."""
        form = self.measure()
        click.echo(json.dumps(form, indent=2) if self.as_json else console.printable(as_text(form)))

    def measure(self) -> dict[str, Any]:
        """Do it; the figures for JSON. The networks are closed then."""
        plan = self.plan
        frames = plan.rounds * (plan.batches + -(-plan.warmup // plan.batch)) * plan.batch
        with ExitStack() as stack:
            stack.callback(self._close)
            done = stack.enter_context(console.progress("measuring", frames * len(self.entries)))
            times = measure_stages([entry.estimator for entry in self.entries], self._open_sources, plan, done)
            return {
                "sources": list(self.names),
                "machine": asdict(self.machine),
                "decoder": self.decoder,
                "threads": self.threads,
                **asdict(plan),
                "runs": [self._describe(*pair) for pair in zip(self.entries, times, strict=True)],
                "not_run": self.not_run,
            }

    def _describe(self, entry: _Entry, times: StageTimes) -> dict[str, Any]:
        device = entry.estimator.runtime.device
        return {
            "model": entry.model,
            "runtime": entry.runtime,
            "device": device,
            "gpu": _gpu_name(device),
            "input_sizes": [list(size) for size in times.sizes],
            "frames": times.frames,
            "people_per_frame": times.people / times.frames,
            "stages": {stage: asdict(times.summarise(stage)) for stage in STAGES},
            "total": asdict(times.summarise()),
            "round_rates": times.round_rates,
            "spread": times.spread,
        }

    def _close(self) -> None:
        for entry in self.entries:
            entry.estimator.close()


def _gpu_name(device: str) -> str | None:
    """The name of the GPU that a runtime calls cuda:N; None on the CPU, or where the driver does not tell."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return None
    try:
        return find_gpu(int(index or 0)).name
    except DeviceError:
        return None
