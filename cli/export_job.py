"""The work of ``ltsh export``, once its options are known."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
import numpy.typing as npt

from ltsh_deploy.cli import console
from ltsh_deploy.cli.export_engine import EngineJob, take_engine_options
from ltsh_deploy.cli.export_report import as_dict, as_text
from ltsh_deploy.cli.export_triton import TritonJob, take_triton_options
from ltsh_deploy.errors import UsageError
from ltsh_deploy.export.accuracy import VerificationData, open_verification
from ltsh_deploy.export.precision import OnnxExport, Quantisation, check_request, export_precision
from ltsh_deploy.parts import import_part

__all__ = ["ExportJob"]

# What was made, for JSON and for people.
Report: TypeAlias = tuple[dict[str, Any], str]

# Upright, lying and square: three shapes show that the file takes any.
_OWN_SIZES = ((432, 288), (240, 368), (320, 320))


class ExportJob:
    """One export. The arguments are those of ``ltsh export``; its --help describes them.

    An engine, or a repository for Triton, is made from an ONNX file of the precision asked for, which is made first.

    Raises:
        LtshError: for everything that can be known to be wrong before anything is made.
    """

    def __init__(
        self,
        source: Path,
        *,
        kind: str,
        output: Path,
        precision: str | None,
        calibrate: str | None,
        style: str | None,
        verify: str | None,
        verify_set: dict[str, str],
        images: tuple[str, ...],
        size: tuple[int, int] | None,
        opset: int | None,
        overwrite: bool,
        as_json: bool,
        **others: Any,
    ) -> None:
        self.source, self.kind, self.output = source, kind, output
        self.overwrite, self.as_json = overwrite, as_json
        if verify_set and verify is None:
            raise UsageError("--verify-set is for the data of --verify, and none are named", "Add --verify KIND:PATH.")
        if source.suffix.lower() == ".engine" and kind != "triton":
            raise UsageError(
                f"{source}: is an engine, of which nothing else can be made",
                "Name the checkpoint or the ONNX file that it was built from.",
            )
        if calibrate == "":
            raise UsageError("--calibrate names no folder", "Name a folder with pictures.")
        self.precision = precision
        self.style = style or ("tensorrt" if kind == "engine" else "onnxruntime")
        self.quantisation = None if calibrate is None else Quantisation(Path(calibrate), self.style)
        if style is not None and calibrate is None:
            raise UsageError("--quantise-for is for calibrating, and nothing is calibrated", "Add --calibrate DIR.")
        if kind == "engine" and self.style != "tensorrt":
            raise UsageError(f"--quantise-for {style}: TensorRT does not take such integers", "Leave it out.")
        self.verification: VerificationData | None = None if verify is None else open_verification(verify, verify_set)
        self.images, self.size, self.opset = images, size, opset
        wanted, served = take_engine_options(others, kind), take_triton_options(others, kind)
        if kind == "triton":
            self.triton = TritonJob(source, output, overwrite=overwrite, wanted=served)
        if kind == "engine":
            self.engine = EngineJob(
                source,
                output,
                overwrite=overwrite,
                precision=precision,
                calibrate=None if calibrate is None else Path(calibrate),
                size=size,
                opset=opset,
                wanted=wanted,
            )

    def run(self) -> None:
        """Do it, and print the report."""
        if self.kind == "onnx":
            report = self._export_onnx(self.output)
            form, text = as_dict(report, not self.images), as_text(report, self.source, not self.images)
        else:
            with tempfile.TemporaryDirectory(prefix="ltsh-export-") as folder:
                form, text = self._export_on(Path(folder))
        click.echo(json.dumps(form, indent=2) if self.as_json else text)

    def _export_on(self, folder: Path) -> Report:
        """Make an ONNX file, unless the source is the one, and of that what was asked for."""
        export = {"engine": self._export_engine, "triton": self._export_triton}[self.kind]
        if self._is_ready():
            if self.kind == "engine" and self.verification is not None:
                self.engine.check_gpu()
            return export(self.source)
        report = self._export_onnx(folder / f"{self.output.stem}.onnx")
        form, text = export(report.path)
        own = not self.images
        origin = as_dict(report, own)
        # The file is gone with its folder: a name would only mislead.
        del origin["file"]
        title = f"Made from an intermediate ONNX file of {self.source}"
        return {**form, "onnx": origin}, f"{text}\n\n{as_text(report, self.source, own, title)}"

    def _is_ready(self) -> bool:
        """Whether the source is an ONNX file of the precision that is asked for; Triton serves engines as well."""
        suffix = self.source.suffix.lower()
        wishes = (self.precision, self.size, self.opset, self.quantisation)
        if self.kind == "triton" and suffix in (".engine", ".onnx"):
            if all(wish is None for wish in (*wishes, self.verification)):
                return True
            if suffix == ".engine":
                raise UsageError(
                    f"{self.source}: is an engine, in which nothing can be changed",
                    "Leave --precision, --size, --opset, --calibrate and --verify out.",
                )
        if suffix != ".onnx":
            return False
        if self.kind == "engine" and all(wish is None for wish in wishes):
            # Whoever wrote it: an engine computes in what the file does.
            return True
        import_part("onnx", "Exporting", "export")
        from ltsh_deploy.export.graphs import read_precision
        from ltsh_deploy.onnx_files import read_own_model

        given = read_precision(read_own_model(self.source)[0])
        if self.precision not in (None, given) or self.size is not None:
            return False
        verified = None if self.kind == "engine" else self.verification
        if self.opset is not None or self.quantisation is not None or verified is not None:
            raise UsageError(
                f"{self.source}: is an ONNX file of {given} already, so there is nothing to convert",
                "Leave --opset, --calibrate and --verify out.",
            )
        return True

    def _pictures(self) -> list[npt.NDArray[np.uint8]]:
        return _read_pictures(self.images) if self.images else _own_pictures()

    def _export_onnx(self, output: Path) -> OnnxExport:
        # Drawing pictures takes a second, in which a mistake could be told.
        check_request(self.source, output, self.precision, self.quantisation, self.size, self.opset, self.overwrite)
        pictures = self._pictures()
        with console.progress("exporting") as done:
            return export_precision(
                self.source,
                output,
                images=pictures,
                precision=self.precision,
                quantisation=self.quantisation,
                size=self.size,
                opset=self.opset,
                verification=self.verification,
                overwrite=self.overwrite,
                done=done,
            )

    def _export_engine(self, onnx: Path) -> Report:
        return self.engine.run(onnx, self._pictures(), self.verification)

    def _export_triton(self, onnx: Path) -> Report:
        return self.triton.run(onnx)


def _read_pictures(names: tuple[str, ...]) -> list[npt.NDArray[np.uint8]]:
    """Every picture that is named or lies in a folder that is; videos in folders are passed over."""
    from ltsh_deploy.sources import open_sources

    pictures = []
    for name in names:
        sources = [source for source in open_sources([name]) if source.kind == "image"]
        if not sources:
            raise UsageError(f"{name}: is no picture and no folder with pictures", "--images takes picture files.")
        pictures += [frame.image for source in sources for frame in source]
    return pictures


def _own_pictures() -> list[npt.NDArray[np.uint8]]:
    from ltsh_deploy.demo import draw_scene

    return [draw_scene(seed, size) for seed, size in enumerate(_OWN_SIZES)]
