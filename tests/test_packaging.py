"""The wheel holds the whole checkout, and works where there is no checkout."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import ltsh_deploy
from ltsh_deploy.cuda_kernels.sources import LIBRARY

ROOT = Path(__file__).parent.parent
ROOMS = {"ltsh_deploy": "ltsh_deploy"} | {
    room: f"ltsh_deploy/{room}" for room in ("train", "export", "cuda_kernels", "cli")
}
#: Without these, modules that are built on them cannot be imported; everything else must be.
OPTIONAL = {
    *("fastapi", "h11", "numba", "onnx", "onnxruntime", "onnxscript", "prometheus_client", "pycuda"),
    *("python_multipart", "safetensors", "starlette", "tensorrt", "tensorrt_rtx", "torch", "uvicorn"),
}
JUNK = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", ".*")
BUILT_BY = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


def run(*line: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [str(part) for part in line],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel, built from the source distribution, and the source distribution."""
    source = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=JUNK)
    for name in BUILT_BY:
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive


@pytest.fixture(scope="module")
def environment(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment away from the checkout with the wheel and, by their path alone, its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", distributions[0]),
        cwd=folder,
    )
    add_dependencies(folder)
    return folder


def add_dependencies(environment: Path) -> None:
    """Let an environment find, by their path alone, the packages of the one that runs the tests."""
    (packages,) = (environment / "lib").glob("python*/site-packages")
    # Folders named in a .pth file are searched last, and their own .pth files (an editable install's) are not read.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(places), encoding="utf-8")


def wheel_files(distributions: tuple[Path, Path]) -> set[str]:
    with zipfile.ZipFile(distributions[0]) as wheel:
        return {name for name in wheel.namelist() if ".dist-info/" not in name}


def modules_of(distributions: tuple[Path, Path]) -> list[str]:
    names = (name for name in sorted(wheel_files(distributions)) if name.endswith(".py"))
    return [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in names]


def checkout_files() -> set[str]:
    """Every file of the rooms, by the name it should have in the wheel."""
    return {
        f"{target}/{path.relative_to(ROOT / room).as_posix()}"
        for room, target in ROOMS.items()
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".") and path.suffix != ".so"
    }


def test_the_wheel_holds_the_files_of_the_checkout_and_what_was_compiled(distributions: tuple[Path, Path]) -> None:
    compiled = {f"ltsh_deploy/cuda_kernels/{LIBRARY}{sysconfig.get_config_var('EXT_SUFFIX')}"}
    assert wheel_files(distributions) == checkout_files() | compiled


def test_the_wheel_installs_one_package(distributions: tuple[Path, Path]) -> None:
    assert {name.partition("/")[0] for name in wheel_files(distributions)} == {"ltsh_deploy"}
    assert "ltsh_deploy/py.typed" in wheel_files(distributions)


def test_the_wheel_says_what_it_is(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = wheel.read(name).decode()
        assert any(n.endswith("/LICENSE") for n in wheel.namelist())
    assert f"\nVersion: {ltsh_deploy.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.10\n" in metadata
    extras = set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE))
    names = "cpu gpu gui train eval export cuda tensorrt tensorrt-rtx tensorboard synth serve dev"
    assert extras == set(names.split())


def test_no_extra_brings_both_onnxruntimes() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    for name, value in config["options.extras_require"].items():
        wanted = {re.split(r"[\[<>=]", line)[0] for line in value.split()}
        assert len(wanted & {"onnxruntime", "onnxruntime-gpu"}) == (name in ("cpu", "gpu"))


def test_the_source_distribution_holds_what_builds_it(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(BUILT_BY) <= names


def test_every_module_of_the_wheel_can_be_imported(distributions: tuple[Path, Path], environment: Path) -> None:
    modules = modules_of(distributions)
    code = f"""
import importlib, json, sys
absent = {{}}
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent[name] = error.name.partition(".")[0]
import ltsh_deploy
print(json.dumps([ltsh_deploy.__file__, list(ltsh_deploy.__path__), absent]))
"""
    answer = run(environment / "bin" / "python", "-c", code, cwd=environment, OMP_NUM_THREADS="1")
    file, path, absent = json.loads(answer.splitlines()[-1])
    assert Path(file).is_relative_to(environment)
    assert len(path) == 1, "an installed package is complete: it must not look beside itself"
    wrongly = {name: missing for name, missing in absent.items() if missing not in OPTIONAL}
    assert not wrongly
    assert not {missing for missing in absent.values() if importlib.util.find_spec(missing)}


def test_the_command_works_from_the_wheel(environment: Path) -> None:
    ltsh = environment / "bin" / "ltsh"
    assert "infer" in run(ltsh, "--help", cwd=environment)
    assert run(ltsh, "--version", cwd=environment) == f"ltsh {ltsh_deploy.__version__}\n"
    assert "--model" in run(ltsh, "infer", "--help", cwd=environment)


def test_doctor_works_from_the_wheel(environment: Path) -> None:
    report = json.loads(run(environment / "bin" / "ltsh", "doctor", "--json", cwd=environment))
    assert report["core"]["status"] == "works"
    assert report["decoder"]["runs"] == "compiled"
    assert Path(report["decoder"]["library"]).is_relative_to(environment)
    assert set(report["extras"]) >= {"cpu", "gpu", "train", "export"}
    assert not [n for n in report["notices"] if "checkout" in n["notice"]]


def editable(tmp_path: Path, **environment: str) -> tuple[Path, Path]:
    """A copy of the checkout, and the Python of an environment of its own in which it is installed in place."""
    checkout, place = tmp_path / "check out", tmp_path / "environment"
    checkout.mkdir()
    for room in ROOMS:
        shutil.copytree(ROOT / room, checkout / room, ignore=JUNK)
    for name in BUILT_BY:
        shutil.copy(ROOT / name, checkout)
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=tmp_path)
    python = place / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation"),
        *("--no-index", "--editable", checkout),
        cwd=tmp_path,
        PYTHONPATH=sysconfig.get_path("purelib"),
        **environment,
    )
    add_dependencies(place)
    return checkout, python


WHICH_DECODER = "from ltsh_deploy.decode import decoder_in_use; print(decoder_in_use())"


def test_an_editable_install_finds_the_rooms_and_the_library(tmp_path: Path) -> None:
    """From a folder elsewhere, in an environment of its own, with the checkout's files in place."""
    checkout, python = editable(tmp_path)
    for room in ROOMS.keys() - {"ltsh_deploy"}:
        code = f"import ltsh_deploy.{room} as room; print(room.__file__)"
        assert run(python, "-c", code, cwd=tmp_path).strip() == str(checkout / room / "__init__.py")
    assert run(python, "-c", WHICH_DECODER, cwd=tmp_path).strip() == "compiled"
    # Sources that changed since: the library is not run.
    header = checkout / "cuda_kernels" / "limbs.h"
    header.write_text(header.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    assert run(python, "-c", WHICH_DECODER, cwd=tmp_path).strip() == "numpy"


def test_without_a_compiler_the_install_succeeds_and_numpy_decodes(tmp_path: Path) -> None:
    _, python = editable(tmp_path, CC="/no/compiler", CXX="/no/compiler")
    assert run(python, "-c", WHICH_DECODER, cwd=tmp_path).strip() == "numpy"
