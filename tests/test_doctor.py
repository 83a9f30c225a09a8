from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ltsh_deploy import parts
from ltsh_deploy.cli import doctor, main, probe, requirements
from ltsh_deploy.cli.requirements import Extra, Package, Requirement, check_extra

ROOT = Path(__file__).parent.parent

NEEDS = [
    Requirement("numpy", "1.26.4", ""),
    Requirement("opencv-python-headless", "4.10.0.84", ""),
    Requirement("onnxruntime", "1.19.2", "cpu"),
    Requirement("onnxruntime-gpu", "", "gpu"),
    Requirement("opencv-python", "4.10.0.84", "gui"),
    Requirement("torch", "2.13.0", "train"),
    Requirement("safetensors", "0.4.3", "train"),
]
CORE = {"numpy": Package("2.4.6"), "opencv-python-headless": Package("5.0.0.93")}


@pytest.fixture
def plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an installed package whose pip is the shell's."""
    monkeypatch.setattr(parts, "_pip", lambda: "pip")
    monkeypatch.setattr(parts, "is_installed", lambda: True)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return doctor.examine()


def test_report_can_be_written_as_json_and_names_every_extra(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report)).keys() == report.keys()
    names = "cpu gpu gui train eval export cuda tensorrt tensorrt-rtx tensorboard synth serve dev"
    assert set(report["extras"]) == set(names.split())
    assert report["core"] == {"status": "works", "reasons": (), "repair": ""}


def test_report_has_the_versions_that_are_installed(report: dict[str, Any]) -> None:
    for name in ("numpy", "click", "pydantic"):
        assert report["packages"][name]["version"] == metadata.version(name)
        assert report["packages"][name]["problem"] is None
    assert report["python"]["executable"] == sys.executable


def test_what_does_not_work_comes_with_its_repair(report: dict[str, Any]) -> None:
    for extra in report["extras"].values():
        assert bool(extra["repair"]) == bool(extra["reasons"]) == (extra["status"] != "works")


def test_report_tells_whether_onnxruntime_runs(report: dict[str, Any]) -> None:
    package = report["packages"].get("onnxruntime") or report["packages"]["onnxruntime-gpu"]
    assert package["details"]["providers"]["CPUExecutionProvider"] == "works"


def test_text_holds_what_the_report_does(report: dict[str, Any]) -> None:
    text = doctor._as_text(report)
    for name, package in report["packages"].items():
        assert f"{name} " in text
        assert package["version"] in text
    for name, extra in report["extras"].items():
        assert f"\n  {name} " in text
        assert extra["repair"] in text


def test_the_model_written_by_hand_is_the_identity() -> None:
    model = onnx.load_from_string(probe.IDENTITY_MODEL)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(probe.IDENTITY_MODEL)
    assert session.run(None, {"x": np.array(3, np.float32)}) == [3]


@pytest.mark.parametrize(
    ("extra", "packages", "status", "reasons", "repair"),
    [
        ("", CORE, "works", (), ""),
        ("cpu", CORE, "missing", ("not installed: onnxruntime",), 'pip install "ltsh-deploy[cpu]"'),
        ("cpu", CORE | {"onnxruntime": Package("1.31.1")}, "works", (), ""),
        (
            "cpu",
            {"onnxruntime": Package("1.9.0")},
            "missing",
            ("onnxruntime 1.9.0 is older than 1.19.2",),
            'pip install "ltsh-deploy[cpu]"',
        ),
        (
            "cpu",
            {"onnxruntime": Package("1.31.1", "libfoo.so is not there")},
            "broken",
            ("onnxruntime 1.31.1: libfoo.so is not there",),
            "pip install --force-reinstall --no-deps onnxruntime==1.31.1",
        ),
        ("train", {}, "missing", ("not installed: torch, safetensors",), 'pip install "ltsh-deploy[train]"'),
        ("train", {"torch": Package("2.13.0+cpu"), "safetensors": Package("0.10.0")}, "works", (), ""),
        # A rival with the same import package will do, unless the extra is for what sets it apart.
        ("", {"numpy": Package("2.0.0"), "opencv-python": Package("5.0.0.93")}, "works", (), ""),
        ("cpu", {"onnxruntime-gpu": Package("1.31.1", None, "CUDA does not load")}, "works", (), ""),
        ("gui", CORE, "missing", ("not installed: opencv-python",), 'pip install "ltsh-deploy[gui]"'),
        (
            "gpu",
            {"onnxruntime-gpu": Package("1.31.1", None, "CUDA does not load")},
            "broken",
            ("onnxruntime-gpu 1.31.1: CUDA does not load",),
            "pip install --force-reinstall --no-deps onnxruntime-gpu==1.31.1",
        ),
        (
            "train",
            {"torch": Package("2.13.0+cpu", "libtorch.so: cannot open"), "safetensors": Package("0.10.0")},
            "broken",
            ("torch 2.13.0+cpu: libtorch.so: cannot open",),
            "pip install --force-reinstall --no-deps torch==2.13.0+cpu"
            " --extra-index-url https://download.pytorch.org/whl/cpu",
        ),
        # What is missing is another package's: --no-deps would leave it missing.
        (
            "",
            CORE | {"numpy": Package("2.4.6", "No module named 'numpy_core'")},
            "broken",
            ("numpy 2.4.6: No module named 'numpy_core'",),
            "pip install --force-reinstall numpy==2.4.6",
        ),
    ],
)
@pytest.mark.usefixtures("plain_lines")
def test_an_extra_is_judged_by_what_is_installed(
    extra: str, packages: dict[str, Package], status: str, reasons: tuple[str, ...], repair: str
) -> None:
    assert check_extra(extra, NEEDS, packages) == requirements.Extra(status, reasons, repair)


def better_repair(name: str, packages: dict[str, Package], driver: bool) -> str:
    return doctor._with_better_repair(name, check_extra(name, NEEDS, packages), packages, driver).repair


@pytest.mark.usefixtures("plain_lines")
def test_the_gpu_part_is_repaired_by_what_would_repair_it() -> None:
    gpu = {"onnxruntime-gpu": Package("1.31.1", None, "CUDA does not load")}
    cpu = {"onnxruntime": Package("1.31.1")}
    assert "NVIDIA driver" in better_repair("gpu", gpu, driver=False)
    assert "onnxruntime-gpu" in better_repair("gpu", gpu, driver=True)
    exchange = 'pip uninstall -y onnxruntime && pip install "ltsh-deploy[gpu]"'
    assert better_repair("gpu", cpu, driver=False) == better_repair("gpu", cpu, driver=True) == exchange
    both = {name: Package("1.31.1", "overwritten") for name in ("onnxruntime", "onnxruntime-gpu")}
    for extra in ("cpu", "gpu"):
        line = f'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "ltsh-deploy[{extra}]"'
        assert better_repair(extra, both, driver=False) == line
    assert better_repair("cpu", cpu, driver=True) == ""


@pytest.mark.usefixtures("plain_lines")
def test_windows_without_x_are_repaired_by_the_system_not_by_pip() -> None:
    problem = "libGL.so.1: cannot open shared object file: No such file or directory"
    packages = {name: Package("5.0.0.93", problem) for name in ("opencv-python", "opencv-python-headless")}
    assert "libgl1" in better_repair("gui", packages, driver=True)
    overwritten = {"opencv-python": Package("5.0.0.93", None, "it has no windows")}
    line = "pip install --force-reinstall --no-deps opencv-python==5.0.0.93"
    assert better_repair("gui", overwritten, driver=True) == line


@pytest.mark.usefixtures("plain_lines")
@pytest.mark.parametrize("names", [["opencv-python"], ["opencv-python-headless", "opencv-python"]])
def test_a_core_without_x_gets_the_opencv_without_windows(names: list[str]) -> None:
    problem = "libGL.so.1: cannot open shared object file: No such file or directory"
    packages = {"numpy": Package("2.4.6")} | {name: Package("5.0.0.93", problem) for name in names}
    line = f'pip uninstall -y {" ".join(names)} && pip install "ltsh-deploy"'
    assert better_repair("", packages, driver=False) == line


@pytest.mark.parametrize(
    ("windows", "said"), [("QT5", "the one that runs has windows (QT5)"), (None, "the one that runs has no windows")]
)
def test_two_opencvs_are_noticed(windows: str | None, said: str) -> None:
    packages = {
        name: Package("5.0.0.93", None, None, {"windows": windows})
        for name in ("opencv-python", "opencv-python-headless")
    }
    notice = doctor.notices(packages)[0]
    assert said in notice["notice"]
    assert any('"ltsh-deploy[gui]"' in line for line in notice["repair"])


@pytest.mark.usefixtures("plain_lines")
def test_two_onnxruntimes_are_noticed() -> None:
    packages = {name: Package("1.31.1", "overwritten") for name in ("onnxruntime", "onnxruntime-gpu")}
    notice = doctor.notices(packages)[0]
    assert "onnxruntime and onnxruntime-gpu are both installed" in notice["notice"]
    assert all(line.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && ") for line in notice["repair"])


def test_one_of_each_is_no_notice() -> None:
    assert not [n for n in doctor.notices(CORE) if "both" in n["notice"]]


@pytest.mark.parametrize(
    "marker", ["platform_machine == 'x86_64'; extra == 'rtx'", 'platform_machine == "x86_64" and extra == "rtx"']
)
def test_nothing_is_recommended_that_this_processor_cannot_have(monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: [f"engines>=1.7; {marker}"])
    needed = requirements.read_requirements()
    assert needed == [Requirement("engines", "1.7", "rtx", "x86_64")]
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    there = "engines is there for x86_64 alone, and this is aarch64"
    assert check_extra("rtx", needed, {}) == Extra("missing", (there,))
    assert check_extra("rtx", needed, {"engines": Package("1.7")}).status == "works"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert "[rtx]" in check_extra("rtx", needed, {}).repair


def test_the_driver_is_asked_by_the_one_module_that_can() -> None:
    assert "ctypes" not in Path(probe.__file__).read_text(encoding="utf-8")


def test_a_checkout_that_is_not_installed_reads_its_own_setup_cfg(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", not_installed)
    monkeypatch.setattr(doctor, "is_installed", lambda: False)
    monkeypatch.setattr(parts, "is_installed", lambda: False)
    found = requirements.read_requirements()
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert {r.extra for r in found} == {"", *config["options.extras_require"]}
    assert [r.name for r in found if not r.extra] == re.findall(r"^[\w-]+", config["options"]["install_requires"], re.M)
    assert all(r.minimum for r in found if not r.extra)
    (notice,) = doctor.notices({})
    assert "runs from a checkout" in notice["notice"]
    assert " install -e " in notice["repair"][0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy>=1.26.4", Requirement("numpy", "1.26.4", "")),
        ('onnxruntime-gpu[cuda,cudnn]; extra == "gpu"', Requirement("onnxruntime-gpu", "", "gpu")),
        ("types-PyYAML ; extra == 'dev'", Requirement("types-pyyaml", "", "dev")),
        ("torch<3,>=2.13; extra == 'train'", Requirement("torch", "2.13", "train")),
    ],
)
def test_lines_of_metadata_are_understood(line: str, expected: Requirement) -> None:
    assert requirements._parse(line) == expected


@pytest.fixture
def packages_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1", None),
        ("print('chatter', end='')", None),
        ("import os; os.abort()", "importing it ends the process by SIGABRT"),
        ("import os; os._exit(7)", "importing it ends the process with exit code 7"),
        ("raise SystemExit(3)", "3"),
        ("raise ImportError('libfoo.so.1: no such file')", "libfoo.so.1: no such file"),
        ("raise RuntimeError", "RuntimeError"),
        ("import absent_package_of_a_test", "No module named 'absent_package_of_a_test'"),
    ],
)
def test_a_broken_package_is_reported_and_not_run_into(
    source: str, problem: str | None, packages_on_path: Path
) -> None:
    (packages_on_path / "package_of_a_test.py").write_text(source)
    assert doctor._probe("package_of_a_test") == {"problem": problem}


def test_a_package_that_hangs_is_given_up(packages_on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages_on_path / "package_of_a_test.py").write_text("import time; time.sleep(30)")
    monkeypatch.setattr(doctor, "_TIMEOUT_S", 0.5)
    assert "takes more than" in doctor._probe("package_of_a_test")["problem"]


def test_the_reason_why_a_provider_does_not_load_is_found(packages_on_path: Path) -> None:
    (packages_on_path / "onnxruntime.py").write_text(
        """
import sys

def disable_telemetry_events(): pass
def get_available_providers(): return ["CUDAExecutionProvider", "CPUExecutionProvider", "OtherExecutionProvider"]
class InferenceSession:
    def __init__(self, model, providers):
        print("[E:onnxruntime] Failed to load x.so with error: libcudnn.so.9: not there", file=sys.stderr)
    def get_providers(self): return ["CPUExecutionProvider"]
"""
    )
    assert doctor._probe("onnxruntime")["providers"] == {
        "CUDAExecutionProvider": "does not load: libcudnn.so.9: not there",
        "CPUExecutionProvider": "works",
        "OtherExecutionProvider": "listed, not tried",
    }


DRIVER = """
#include <string.h>
typedef int R;
R cuInit(unsigned f) { return INIT; }
R cuDriverGetVersion(int *v) { *v = 13020; return 0; }
R cuDeviceGetCount(int *n) { *n = 2; return 0; }
R cuDeviceGet(int *d, int i) { *d = i + 7; return 0; }
R cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 7 ? "First" : "Second", n); return 0; }
R cuDeviceTotalMem_v2(size_t *b, int d) { *b = (size_t)(d == 7 ? 24 : 140) << 30; return 0; }
R cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : a == 76 ? d - 7 : -1; return 0; }
"""


def with_driver(folder: Path, init: int) -> dict[str, Any]:
    """What doctor finds with a driver that answers like NVIDIA's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for a stand-in driver")
    (folder / "driver.c").write_text(DRIVER)
    line = [compiler, "-shared", "-fPIC", f"-DINIT={init}", "-o", "libcuda.so.1", "driver.c"]
    subprocess.run(line, cwd=folder, check=True)
    code = (
        "import json; from ltsh_deploy.cli import doctor, probe; print(json.dumps(doctor._probe(probe.NVIDIA_DRIVER)))"
    )
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def test_the_devices_of_a_driver_are_listed(tmp_path: Path) -> None:
    assert with_driver(tmp_path, init=0) == {
        "problem": None,
        "driver_cuda": "13.2",
        "devices": [
            {"name": "First", "compute_capability": "9.0", "memory_mib": 24576},
            {"name": "Second", "compute_capability": "9.1", "memory_mib": 143360},
        ],
    }


def test_a_driver_that_refuses_is_told(tmp_path: Path) -> None:
    assert with_driver(tmp_path, init=100) == {"problem": "the NVIDIA driver answers cuInit with error 100"}


def test_devices_are_shown(report: dict[str, Any]) -> None:
    device = {"name": "First", "compute_capability": "9.0", "memory_mib": 24576}
    text = doctor._as_text(report | {"nvidia": {"problem": None, "driver_cuda": "13.2", "devices": [device] * 2}})
    assert text.count("gpu       First, 24576 MiB, compute 9.0") == 2


def test_the_exit_code_is_4_when_the_core_does_not_work(
    report: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"status": "broken", "reasons": ["cv2 is gone"], "repair": "pip install it"}
    monkeypatch.setattr(doctor, "examine", lambda: report | {"core": broken})
    assert main.main(["doctor"]) == 4
    assert "cv2 is gone\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", ["#!/bin/sh\necho ffmpeg version 7.0-test Copyright", "#!/bin/false", "not a program"]
)
def test_any_ffmpeg_is_survived(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(content)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor._ffmpeg()
    assert found is not None
    assert found["path"] == str(program)
    if "echo" in content:
        assert found["version"] == "7.0-test"
    monkeypatch.setenv("PATH", "")
    assert doctor._ffmpeg() is None


def test_report_tells_which_decoder_runs(report: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = report["decoder"]
    assert (decoder["runs"] == "compiled") == (decoder["problem"] is None) == bool(decoder["library"])
    assert f"\ndecoder   {decoder['runs']}" in doctor._as_text(report)
    monkeypatch.setenv("LTSH_DECODER", "numpy")
    assert doctor._decoder({"problem": None, "library": "here.so"})["runs"] == "numpy"


def test_a_decoder_that_is_missing_comes_with_the_line_that_builds_it() -> None:
    assert doctor._decoder({"problem": "it was not built"}) == {
        "runs": "numpy", "library": None, "problem": "it was not built",
    }  # fmt: skip
    (notice,) = (n for n in doctor.notices(CORE, "it was not built") if "NumPy" in n["notice"])
    assert "it was not built" in notice["notice"]
    assert "pip install" in notice["repair"][0]
    assert not [n for n in doctor.notices(CORE) if "NumPy" in n["notice"]]
