"""What the documents say exists, and what exists is in the documents."""

from __future__ import annotations

import configparser
import inspect
import re
import shlex
import subprocess
from functools import lru_cache
from pathlib import Path

import click
import pytest

import ltsh_deploy
from ltsh_deploy import DecodeConfig, PoseEstimator
from ltsh_deploy.cli import main
from ltsh_deploy.demo import draw_scene
from ltsh_deploy.images import read_image
from ltsh_deploy.outputs import write_image
from ltsh_deploy.sources import open_sources
from ltsh_deploy.video_sink import VideoSink

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "PLACE" + "HOLDER")) + r")\b")
# What a merge leaves where it needed somebody to decide.
UNMERGED = re.compile(r"^(<{7} |>{7} |={7}$)", re.MULTILINE)
LARGEST_FILE = 5_000_000
NOT_OURS = re.compile(r"\.(?!ci$|gitignore$).*|build|dist|out|runs|__pycache__|.*\.egg-info")
TEXT = {".cfg", ".cu", ".md", ".py", ".toml", ".txt", ".yaml"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@lru_cache(maxsize=1)
def project_files() -> list[Path]:
    """Every file that is, or would be, committed."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [p for p in ROOT.rglob("*") if not any(map(NOT_OURS.fullmatch, p.relative_to(ROOT).parts))]
    return [path for path in paths if path.is_file()]


@lru_cache(maxsize=1)
def commands() -> dict[str, click.Command]:
    context = click.Context(main.cli)
    found = {name: main.cli.get_command(context, name) for name in main.COMMANDS}
    return {"": main.cli} | {name: command for name, command in found.items() if command is not None}


def options_of(name: str) -> set[str]:
    """A command's options as they are typed, without those that every command has."""
    shared = set() if name == "" else options_of("")
    parts = (commands()[name], *(getattr(commands()[name], "commands", {}).values() if name else ()))
    found = {
        flag
        for part in parts
        for p in part.params
        if isinstance(p, click.Option)
        for flag in (*p.opts, *p.secondary_opts)
    }
    return (found | {"--help", "-h"} if name == "" else found) - shared


def section(name: str) -> str:
    """A command's part of docs/cli.md."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    title = f"## ltsh {name}".strip()
    assert f"{title}\n" in text, f"docs/cli.md has no section '{title}'"
    return re.split(r"^## ", text.partition(f"{title}\n")[2], flags=re.MULTILINE)[0]


def code_lines(document: Path) -> list[str]:
    """Lines of code blocks: fenced or indented ones, never those of Python."""
    text = document.read_text(encoding="utf-8")
    text = re.sub(r"^```python\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for line in re.findall(r"^(?: {4}|(?=make |ltsh |pip ))(.+)$", text, re.MULTILINE)]


@pytest.mark.parametrize("name", ["", *main.COMMANDS])
def test_every_option_is_in_the_documents(name: str) -> None:
    documented = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", "\n".join(re.findall(r"`([^`]+)`", section(name)))))
    assert not options_of(name) - documented


@pytest.mark.parametrize("name", ["", *main.COMMANDS])
def test_every_option_in_the_documents_exists(name: str) -> None:
    rows = re.findall(r"^\|([^|]*)\|", section(name).replace("\\|", "/"), re.MULTILINE)
    documented = {flag for row in rows for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)}
    assert documented == options_of(name)


def test_every_command_in_the_documents_exists() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## ltsh (\S+)$", text, re.MULTILINE)) == set(main.COMMANDS)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("infer", "format"),
        ("export", "format"),
        ("evaluate", "dataset"),
        ("evaluate", "protocol"),
        ("evaluate", "split"),
    ],
)
def test_every_choice_is_in_the_documents(name: str, option: str) -> None:
    (parameter,) = (p for p in commands()[name].params if f"--{option}" in p.opts)
    assert isinstance(parameter.type, click.Choice)
    for choice in parameter.type.choices:
        assert f"`{choice}`" in section(name)


@each_document
def test_commands_that_are_shown_would_be_understood(document: Path) -> None:
    lines = [line for line in code_lines(document) if line.startswith("ltsh ") and "[OPTIONS]" not in line]
    for line in lines:
        _, name, *arguments = (word.partition("#")[0] for word in shlex.split(line, comments=True))
        assert name in main.COMMANDS, line
        if "..." in line or "[" in line:
            continue
        commands()[name].make_context(name, arguments, resilient_parsing=False)


@each_document
def test_make_targets_that_are_shown_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = [line.split()[1] for line in code_lines(document) if line.startswith("make ")]
    shown += re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8"))
    assert set(shown) <= targets


def test_a_newcomer_runs_exactly_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Two commands\n")[2]
    assert re.findall(r"(?:^ {4}.*\n)+", section, re.MULTILINE)[0] == "    make demo\n    make test\n"


def test_nothing_is_promised_of_a_gpu_that_was_not_tried() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("|") and "GPU" in row]
    assert rows
    assert all("not yet tried on a GPU" in row for row in rows)


@each_document
def test_extras_that_are_named_exist(document: Path) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    named = re.findall(r"(?:ltsh-deploy|\"\.)\[([a-z,-]+)\]", document.read_text(encoding="utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= set(config["options.extras_require"])


def test_every_extra_is_in_the_documents() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    table = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(config["options.extras_require"])


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "#")):
            assert (document.parent / target.partition("#")[0]).exists(), f"{document.name} links to {target}"


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([^)]+\.md)\)", index))
    assert listed == {p.name for p in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_the_example_in_the_readme_is_python_and_uses_what_exists() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    compile(code, "README.md", "exec")
    for name in re.findall(r"from ltsh_deploy import (.+)", code):
        assert hasattr(ltsh_deploy, name)


def test_every_example_of_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scene = draw_scene(size=(480, 320))
    write_image("photo.jpg", scene)
    with VideoSink("walk.mp4", 10) as video:
        for _ in range(3):
            video.write(scene)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(compile(code, "python.md", "exec"), names)
    assert read_image("drawn.png").shape == scene.shape
    (drawn,) = open_sources(["walk-drawn.mp4"])
    assert sum(1 for _ in drawn) == 6, "three frames of a tenth of a second, at 25 frames a second"
    assert re.search(r"^2 0\.2 \[1( \d+)*\]$", capsys.readouterr().out, re.MULTILINE)


def test_the_options_of_the_python_page_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    call = re.search(r"^    PoseEstimator\.open\((.+?)\)\n\n", text, re.MULTILINE | re.DOTALL)
    assert call is not None
    shown = {part.partition("=")[0].strip(): part.partition("=")[2] for part in re.split(r",\s+(?=[a-z*])", call[1])}
    parameters = {
        name: parameter
        for function in (PoseEstimator.open, PoseEstimator.__init__)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "runtime", "options")
    }
    assert list(shown) == ["path", "*", *[name for name in parameters if name != "path"]]
    for name, parameter in parameters.items():
        assert eval(shown[name], {"DecodeConfig": DecodeConfig}) == parameter.default
    thresholds = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE)
    assert thresholds
    for name, default in thresholds:
        assert getattr(DecodeConfig(), name) == float(default)


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## {ltsh_deploy.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_nothing_is_left_for_later() -> None:
    for path in project_files():
        if path.suffix in TEXT or path.name in ("Makefile", "run"):
            text = path.read_text(encoding="utf-8")
            found = UNFINISHED.search(text) or UNMERGED.search(text)
            assert found is None, f"{path} says {found and found[0]}"


def test_no_file_is_too_large_for_a_repository() -> None:
    assert not [path for path in project_files() if path.stat().st_size > LARGEST_FILE]
