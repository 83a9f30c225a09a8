"""``ltsh doctor``: what is installed, what of it works, and the line that mends what does not.

Every package is imported in a process of its own (:mod:`ltsh_deploy.cli.probe`), so that a broken one is reported and
not run into. Only the standard library and click are needed here.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

import click

from ltsh_deploy import __version__
from ltsh_deploy.cli import probe
from ltsh_deploy.cli.requirements import (
    RIVALS,
    Extra,
    Package,
    Requirement,
    check_extra,
    read_requirements,
)
from ltsh_deploy.errors import ExitCode
from ltsh_deploy.machine import processor_name
from ltsh_deploy.nvidia_driver import GET_DRIVER
from ltsh_deploy.parts import DISTRIBUTION, build_line, install_line, is_installed, replace_line

__all__ = ["command", "examine", "notices"]

_TIMEOUT_S = 60.0
_GET_LIBRARIES = "Install OpenGL and X11; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0 libxcb1 libx11-6"


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def command(as_json: bool) -> int:
    """Report versions, devices and which optional parts work.

    For each part that does not work, the line that mends it is shown. The exit code is 0 when what every command needs
    works, however many optional parts are missing, and 4 when it does not.
    """
    report = examine()
    click.echo(json.dumps(report, indent=2) if as_json else _as_text(report))
    return ExitCode.OK if report["core"]["status"] == "works" else ExitCode.MISSING_PART


def examine() -> dict[str, Any]:
    """The report, as ``--json`` writes it."""
    requirements = read_requirements()
    answers = _probe_all(_installed_modules(requirements))
    gpu, decoder = answers.pop(probe.NVIDIA_DRIVER), _decoder(answers.pop(probe.COMPILED_DECODER))
    packages = _packages(requirements, answers)
    extras = {
        name: _with_better_repair(name, check_extra(name, requirements, packages), packages, not gpu["problem"])
        for name in dict.fromkeys(["", *(r.extra for r in requirements)])
    }
    core = extras.pop("")
    return {
        "version": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "cpu": processor_name(),
            "cores": os.cpu_count(),
        },
        "nvidia": {"driver_cuda": None, "devices": []} | gpu,
        "display": _display(),
        "ffmpeg": _ffmpeg(),
        "decoder": decoder,
        "packages": {name: asdict(package) for name, package in sorted(packages.items())},
        "core": asdict(core),
        "extras": {name: asdict(extra) for name, extra in extras.items()},
        "notices": notices(packages, decoder["problem"]),
    }


def notices(packages: Mapping[str, Package], no_decoder: str | None = None) -> list[dict[str, Any]]:
    """What is odd about the environment as a whole, and lines that repair it: packages that overwrite each other.

    Args:
        packages: the installed ones.
        no_decoder: why the compiled decoder does not work, or None.
    """
    found: list[dict[str, Any]] = []
    for module, names in RIVALS.items():
        present = [name for name in names if name in packages]
        if len(present) < 2:
            continue
        windows = packages[present[0]].details.get("windows")
        if module == "onnxruntime" or packages[present[0]].problem:
            state = "the one installed last overwrote the other"
        else:
            state = f"the one that runs has windows ({windows})" if windows else "the one that runs has no windows"
        choices: tuple[tuple[tuple[str, ...], str], ...] = (((), "without windows"), (("gui",), "with windows"))
        if module == "onnxruntime":
            choices = ((("cpu",), "without a GPU"), (("gpu",), "with an NVIDIA GPU"))
        found.append(
            {
                "notice": f"{' and '.join(present)} are both installed and share one folder, {module}; {state}",
                "repair": [f"{replace_line(present, *extras)}  # {purpose}" for extras, purpose in choices],
            }
        )
    if no_decoder:
        notice = f"poses are decoded by NumPy, several times slower than by the compiled decoder: {no_decoder}"
        found.append({"notice": notice, "repair": [f"{build_line()}  # with a C++ compiler such as g++"]})
    if not is_installed():
        notice = f"{DISTRIBUTION} is not installed; it runs from a checkout"
        found.append({"notice": notice, "repair": [install_line()]})
    return found


def _with_better_repair(name: str, extra: Extra, packages: Mapping[str, Package], driver: bool) -> Extra:
    """The repair, where it is another than to install the missing and install the broken again."""
    if extra.status == "works":
        return extra
    rivals = [name for name in RIVALS["onnxruntime"] if name in packages]
    if name in ("cpu", "gpu") and len(rivals) > 1:
        return replace(extra, repair=replace_line(rivals, name))
    if name in ("gpu", "cuda") and extra.status == "broken" and not driver:
        return replace(extra, repair=GET_DRIVER)
    if name == "gpu" and "onnxruntime" in packages:
        return replace(extra, repair=replace_line(["onnxruntime"], name))
    opencvs = [name for name in RIVALS["cv2"] if name in packages]
    if name == "" and any(".so" in (packages[n].problem or "") and not n.endswith("-headless") for n in opencvs):
        # A library that windows need is not there; the OpenCV without windows does not ask for it.
        return replace(extra, repair=replace_line(opencvs))
    if name == "gui" and ".so" in " ".join(extra.reasons):
        return replace(extra, repair=_GET_LIBRARIES)
    return extra


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _installed_modules(requirements: Iterable[Requirement]) -> set[str | None]:
    rivals = {module for module, names in RIVALS.items() if any(map(_version, names))}
    return {r.module for r in requirements if _version(r.name)} | rivals


def _packages(requirements: Iterable[Requirement], answers: Mapping[str, dict[str, Any]]) -> dict[str, Package]:
    """Every installed distribution that any requirement names, or a rival of one."""
    modules = {r.name: r.module for r in requirements}
    modules |= {name: module for module, names in RIVALS.items() for name in names}
    packages = {}
    for name, module in modules.items():
        version = _version(name)
        if version is not None:
            details = dict(answers.get(module or "", {}))
            problem = details.pop("problem", None)
            packages[name] = Package(version, problem, None if problem else _shortfall(name, details), details)
    together = [name for name in RIVALS["onnxruntime"] if name in packages]
    if len(together) > 1:
        for name in together:
            packages[name] = replace(packages[name], problem=f"{' and '.join(together)} overwrite each other")
    return packages


def _shortfall(name: str, details: Mapping[str, Any]) -> str | None:
    """What a working package lacks of what it is chosen for among its rivals."""
    cuda = details.get("providers", {}).get("CUDAExecutionProvider", "not there")
    if name == "onnxruntime-gpu" and cuda != "works":
        return f"CUDA {cuda}"
    if name == "opencv-python" and not details.get("windows"):
        return "the cv2 that runs has no windows; another OpenCV package was installed over it"
    return None


def _probe_all(modules: Iterable[str | None]) -> dict[str, dict[str, Any]]:
    # The slowest first, so that it does not run on alone at the end.
    names = sorted((m for m in modules if m), key=lambda m: (m != "torch", m))
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(pool.map(lambda name: (name, _probe(name)), [probe.NVIDIA_DRIVER, probe.COMPILED_DECODER, *names]))


def _probe(name: str) -> dict[str, Any]:
    """What :mod:`ltsh_deploy.cli.probe` answers about a module, "problem" above all, even if it ends the process."""
    line = [sys.executable, probe.__file__, name, json.dumps(sys.path)]
    try:
        run = subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"importing it takes more than {_TIMEOUT_S:.0f} s"}
    _, mark, text = run.stdout.rpartition(probe.MARK)
    if not mark:
        code = run.returncode
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        return {"problem": f"importing it ends the process {how}"}
    answer: dict[str, Any] = json.loads(text.splitlines()[0])
    # onnxruntime says why a provider does not load on stderr alone.
    reason = re.search(r"with error: (.+)", run.stderr)
    for provider, state in answer.get("providers", {}).items():
        if state == "does not load" and reason:
            answer["providers"][provider] = f"{state}: {reason[1]}"
    return answer


def _display() -> str | None:
    if sys.platform in ("darwin", "win32"):
        return sys.platform
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or None


def _decoder(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Which decoder runs, the compiled one's place, and why it does not work."""
    works = not answer["problem"] and os.environ.get("LTSH_DECODER") != "numpy"
    return {"runs": "compiled" if works else "numpy", "library": answer.get("library"), "problem": answer["problem"]}


def _ffmpeg() -> dict[str, str] | None:
    path = shutil.which("ffmpeg")
    if path is None:
        return None
    try:
        run = subprocess.run([path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"path": path, "version": f"does not run: {error}"}
    first = run.stdout.decode(errors="replace").partition("\n")[0]
    return {"path": path, "version": " ".join(first.split()[2:3])}


def _as_text(report: Mapping[str, Any]) -> str:
    system, gpu, ffmpeg, decoder = (report[part] for part in ("platform", "nvidia", "ffmpeg", "decoder"))
    gpus = [f"{d['name']}, {d['memory_mib']} MiB, compute {d['compute_capability']}" for d in gpu["devices"]]
    lines = [
        f"ltsh      {report['version']}",
        f"python    {report['python']['version']}  {report['python']['executable']}",
        f"system    {system['system']}",
        f"cpu       {system['cpu']}, {system['cores']} cores",
        *(f"gpu       {name}" for name in gpus or [f"no NVIDIA GPU ({gpu['problem'] or 'the driver lists none'})"]),
        f"display   {report['display'] or 'none: --show cannot open a window'}",
        f"ffmpeg    {ffmpeg['version'] + '  ' + ffmpeg['path'] if ffmpeg else 'none: drawn videos have no sound'}",
        f"decoder   {decoder['runs']}  {decoder['library'] or ''}".rstrip(),
        "",
        "Packages",
    ]
    for name, package in report["packages"].items():
        state = _summary(package["details"])
        if package["problem"]:
            state = f"broken: {package['problem']}"
        lines.append(f"  {name:24} {package['version']:14} {state}".rstrip())
    lines += ["", "Parts"]
    for name, extra in {"core": report["core"], **report["extras"]}.items():
        lines.append(f"  {name:10} {extra['status']:8} {'; '.join(extra['reasons'])}".rstrip())
        if extra["repair"]:
            lines.append(f"  {'':19} {extra['repair']}")
    for notice in report["notices"]:
        lines += ["", f"Note: {notice['notice']}.", *(f"  {line}" for line in notice["repair"])]
    return "\n".join(lines)


def _summary(details: Mapping[str, Any]) -> str:
    """A package's details on one line."""
    if "windows" in details:
        return f"windows: {details['windows'] or 'none'}"
    if "cuda_devices" in details:
        return f"CUDA {details['cuda'] or 'not built in'}, {len(details['cuda_devices'])} devices"
    providers = details.get("providers", {})
    return "; ".join(f"{name.removesuffix('ExecutionProvider')}: {state}" for name, state in providers.items())
