"""What the exporter and the runtime use of TensorRT exists in the real bindings, under the same names and arguments.

The stand-ins of :mod:`tests.tensorrt_stand_in` declare all that may be used, and other tests show that nothing else is.
Here the bindings of TensorRT 10 and 11 are imported, on stub libraries, for the real ones are gigabytes and need a GPU:
`make test` installs them into folders of their own. TensorRT for RTX is imported with its own libraries. 8.6 was held
against its stand-in by hand: docs/tensorrt.md says when.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tensorrt_stand_in

#: All that the bindings want of the libraries.
SYMBOLS = [
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "getPluginRegistry",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
]
#: Run in a process of its own: prints every class's attributes and the arguments of its methods.
SURVEY = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
survey = {"": {name: "" for name in dir(trt)}, "version": trt.__version__}
for name in dir(trt):
    thing = getattr(trt, name)
    if isinstance(thing, type):
        survey[name] = {key: str(getattr(thing, key, "").__doc__ or "") for key in dir(thing)}
print(json.dumps(survey))
"""


def survey(module: str, environment: dict[str, str]) -> dict[str, Any]:
    line = [sys.executable, "-W", "ignore", "-c", SURVEY, module]
    run = subprocess.run(
        line, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def bindings(version: str, tmp_path: Path) -> dict[str, Any]:
    """The survey of the bindings of a version, on stub libraries."""
    if version == "rtx":
        return survey("tensorrt_rtx", {})
    folder = next(Path(sys.prefix).glob(f"tensorrt-{version}.*"), None)
    if folder is None:
        pytest.skip(f"needs the bindings of TensorRT {version}, which `make test` installs beside the packages")
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ for stub libraries")
    source = tmp_path / "stub.cpp"
    source.write_text('extern "C" {' + "".join(f"void* {symbol}() {{ return 0; }}" for symbol in SYMBOLS) + "}")
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        name = f"lib{library}.so.{version}"
        line = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(tmp_path / name), str(source)]
        subprocess.run(line, check=True)
    return survey("tensorrt_bindings", {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(folder)})


def declared(version: str) -> dict[str, type]:
    """The stand-in's classes."""
    module = tensorrt_stand_in.make(version, tensorrt_stand_in.World(None))
    return {name: thing for name, thing in vars(module).items() if isinstance(thing, type)}


def public(kind: type) -> list[str]:
    members = getattr(kind, "__members__", None)
    if members is not None:
        return list(members)
    ignored = set(dir(bytes)) | set(dir(object))
    return [name for name in dir(kind) if not name.startswith("_") and name not in ignored]


@pytest.mark.parametrize("version", ["10", "11", "rtx"])
def test_everything_used_exists_in_the_bindings(version: str, tmp_path: Path) -> None:
    real = bindings(version, tmp_path)
    assert real["version"].split(".")[0] == tensorrt_stand_in.VERSIONS[version].split(".")[0]
    assert "init_libnvinfer_plugins" in real[""]
    classes = declared(version)
    assert len(classes) > 20
    missing = [
        f"{name}.{attribute}" for name, kind in classes.items() for attribute in public(kind)
        if attribute not in real.get(name, {})
    ]  # fmt: skip
    assert missing == []
    # What a version is said to lack, it lacks, or the newer way would not be taken.
    for name, members in (
        ("NetworkDefinitionCreationFlag", {"EXPLICIT_BATCH", "STRONGLY_TYPED"}),
        ("BuilderFlag", {"FP16"}),
    ):
        assert members & set(real[name]) == members & set(public(classes[name]))


@pytest.mark.parametrize("version", ["10", "11", "rtx"])
def test_methods_take_the_arguments_they_are_given(version: str, tmp_path: Path) -> None:
    real = bindings(version, tmp_path)
    wrong, compared = [], 0
    for name, kind in declared(version).items():
        for attribute in public(kind):
            method = inspect.getattr_static(kind, attribute)
            signatures = _signatures(real.get(name, {}).get(attribute, ""), attribute)
            if not inspect.isfunction(method) or not signatures or attribute == "Severity":
                continue
            compared += 1
            given = len(inspect.signature(method).parameters)
            if not any(least <= given <= most for least, most in signatures):
                wrong.append(f"{name}.{attribute} takes {given} here and {signatures} there")
    assert wrong == []
    assert compared > 30


def _signatures(text: str, method: str) -> list[tuple[int, int]]:
    """How many arguments a method of the bindings takes, at least and at most, in each of its forms."""
    found = re.findall(rf"^(?:\d+\. )?{method}\((self: .*?)\) ->", text, re.MULTILINE)
    counts = []
    for arguments in found:
        # Brackets hold commas of their own.
        names = re.findall(r"(?:^|, )(\w+): ", re.sub(r"[\[(<][^\])>]*[\])>]", "", arguments))
        optional = len(re.findall(r" = ", arguments))
        counts.append((len(names) - optional, len(names)))
    return counts
