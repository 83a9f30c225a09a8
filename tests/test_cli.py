from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ltsh_deploy import __version__
from ltsh_deploy.cli import console, main
from ltsh_deploy.errors import ExitCode, InputError, LtshError, MissingPartError, UsageError

ROOT = Path(__file__).parent.parent
HEAVY = ("cv2", "numpy", "onnx", "onnxruntime", "platformdirs", "pydantic", "rich", "scipy", "torch", "yaml")

Behaviour = Callable[[], "int | None"]


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], None]:
    """Make ``ltsh act`` a command that does what the test wants."""

    def install(behaviour: Behaviour) -> None:
        module = types.ModuleType("acting")
        module.command = click.Command("act", callback=behaviour, short_help="Act.")  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "acting", module)
        monkeypatch.setitem(main.COMMANDS, "act", ("acting", "Act."))

    return install


def failing(error: BaseException) -> Behaviour:
    def behaviour() -> None:
        raise error

    return behaviour


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code]
    return subprocess.run(line, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def on_terminal(code: str, **environment: str) -> str:
    """What a program writes to a stderr that is a terminal."""
    leader, follower = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean | {"TERM": "xterm-256color", "COLUMNS": "100"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # Linux's way to say that the other side is closed
            part = b""
        if not part:
            break
        written += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    return written.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_every_command_and_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from ltsh_deploy.cli.main import main
code = main({arguments!r})
print("modules:", *sys.modules)
sys.exit(code)
"""
    result = python(code)
    text, _, modules = result.stdout.partition("modules:")
    assert result.returncode == 0
    assert result.stderr == ""
    for name, (module, summary) in main.COMMANDS.items():
        assert f"{name} " in text
        assert summary in text
        assert module not in modules.split()
    assert not {name.partition(".")[0] for name in modules.split()} & set(HEAVY)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_table_of_commands_says_what_the_commands_say(name: str) -> None:
    context = click.Context(main.cli)
    command = main.cli.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200).rstrip(".") == main.COMMANDS[name][1].rstrip(".")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_help_for_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([name, "--help"]) == 0
    assert f"Usage: ltsh {name}" in capsys.readouterr().out
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.opts} has no help"


@pytest.mark.parametrize(
    "line",
    [
        *[["infer", "a.jpg", "--threshold", value] for value in ("nan", "-nan", "inf", "2", "x")],
        *[["serve", "--max-rate", value] for value in ("nan", "inf", "Infinity", "0")],
        ["serve", "--threshold", "nan"],
        ["evaluate", "--threshold", "nan"],
    ],
    ids=" ".join,
)
def test_a_number_outside_its_range_is_refused_by_its_option(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(line) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert line[-2] in said
    assert line[-1] in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ltsh {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["infr"], "Did you mean 'infer'?"),
        (["setup.cfg"], "ltsh infer setup.cfg"),
        (
            ["nonsense"],
            "Commands are: infer, serve, export, train, evaluate, benchmark, data, synthesize, kernels, doctor",
        ),
        (["--verison"], "--version"),
        (["doctor", "--jsn"], "--json"),
        (["doctor", "superfluous"], "superfluous"),
        (["-q", "-v", "doctor"], "exclude each other"),
        (["-q", "doctor", "--verbose"], "exclude each other"),
        (["infer"], "SOURCE"),
        ([""], "No such command"),
    ],
)
def test_usage_errors_say_what_is_meant_and_exit_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main.main(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LtshError("it failed", "do better"), 1),
        (UsageError("it failed", "do better"), 2),
        (InputError("it failed", "do better"), 3),
        (MissingPartError("it failed", "do better"), 4),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--quiet"]])
def test_errors_are_told_with_their_remedy_and_code(
    error: LtshError,
    code: int,
    flags: list[str],
    do: Callable[[Behaviour], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    do(failing(error))
    assert main.main([*flags, "act"]) == code
    assert capsys.readouterr() == ("", "error: it failed\ndo better\n")


@pytest.mark.parametrize("arguments", [["-v", "act"], ["act", "-v"]])
def test_verbose_shows_the_traceback_too(
    arguments: list[str], do: Callable[[Behaviour], None], capsys: pytest.CaptureFixture[str]
) -> None:
    do(failing(InputError("it failed")))
    assert main.main(arguments) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("error: it failed\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("key"), 1, "unexpected KeyError: 'key'"),
        (OSError("no number"), 1, "unexpected OSError: no number"),
        (PermissionError(13, "Permission denied", "/secret"), 1, "Permission denied: /secret"),
        (ImportError("libGL.so.1: cannot open shared object file"), 4, "ltsh doctor"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 1, ""),
        (click.BadParameter("too big"), 2, "too big"),
        (click.ClickException("cannot"), 1, "cannot"),
        (SyntaxError("[bold]brackets[/bold] are not markup"), 1, "[bold]brackets[/bold]"),
    ],
)
def test_whatever_happens_there_is_no_traceback(
    error: BaseException,
    code: int,
    said: str,
    do: Callable[[Behaviour], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    do(failing(error))
    assert main.main(["act"]) == code
    written = capsys.readouterr().err
    assert said in written
    assert bool(said) == bool(written.strip())
    assert "Traceback" not in written


def test_a_command_may_return_its_exit_code(do: Callable[[Behaviour], None]) -> None:
    do(lambda: 3)
    assert main.main(["act"]) == 3
    do(lambda: None)
    assert main.main(["act"]) == 0


def test_messages_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_error("pict\x1b[2Jure\r.jpg \udcff\nnext line")
    assert capsys.readouterr().err == "error: pict\\x1b[2Jure\\r.jpg \\udcff\nnext line\n"


OF_ANOTHER_ENCODING = """
import sys, types, click
from ltsh_deploy.cli import main
from ltsh_deploy.errors import InputError
def act():
    click.echo("caf\xe9 \u56fe.jpg: 5 people")
    raise InputError("caf\xe9 \u56fe.jpg: no picture")
sys.modules["acting"] = types.SimpleNamespace(command=click.Command("act", callback=act))
main.COMMANDS["act"] = ("acting", "Act.")
sys.exit(main.main(["act"]))
"""


@pytest.mark.parametrize("handler", ["", ":strict"])
def test_what_an_encoding_lacks_is_written_out(handler: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": f"cp1252{handler}"}
    line = [sys.executable, "-c", OF_ANOTHER_ENCODING]
    result = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, timeout=60)
    assert result.stdout == b"caf\xe9 \\u56fe.jpg: 5 people\n"
    assert result.stderr == b"error: caf\xe9 \\u56fe.jpg: no picture\n"
    assert result.returncode == 3


def test_long_messages_are_not_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_error("a very long path " * 40)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "levels"), [([], "info warning error"), (["-q"], "error"), (["-v"], "debug info warning error")]
)
def test_log_messages_go_to_stderr(
    flag: list[str], levels: str, do: Callable[[Behaviour], None], capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("ltsh_deploy.part")

    def behaviour() -> None:
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("%s %s", "about", level)
        logging.getLogger("another.package").info("chatter")

    do(behaviour)
    assert main.main([*flag, "act"]) == 0
    assert capsys.readouterr() == ("", "".join(f"{level}: about {level}\n" for level in levels.split()))


PRINT_ERROR = "from ltsh_deploy.cli import console; console.print_error('it failed')"


def test_colour_is_for_terminals_without_no_color() -> None:
    assert "\x1b[" in on_terminal(PRINT_ERROR)
    assert "\x1b[3" not in on_terminal(PRINT_ERROR, NO_COLOR="1")
    assert "\x1b[" not in on_terminal(PRINT_ERROR, TERM="dumb")
    assert python(PRINT_ERROR).stderr == "error: it failed\n"


PROGRESS = """
import logging, time
from ltsh_deploy.cli import console
console.configure({level})
with console.progress("reading [x]", {total}) as advance:
    for _ in range(3):
        time.sleep(0.05)
        advance(1)
"""


def test_progress_shows_on_a_terminal_and_nowhere_else() -> None:
    known = on_terminal(PROGRESS.format(level=logging.INFO, total=3))
    assert "reading [x]" in known
    assert "3/3" in known
    assert "/s" in known
    unknown = on_terminal(PROGRESS.format(level=logging.INFO, total=None))
    assert "reading [x]" in unknown
    assert on_terminal(PROGRESS.format(level=logging.ERROR, total=3)) == ""
    assert python(PROGRESS.format(level=logging.INFO, total=3)).stderr == ""


WITHOUT_RICH = """
import logging, sys
{setup}
from ltsh_deploy.cli import console, main
sys.stderr.isatty = lambda: True
code = main.main(["doctor", "--jsn"])
console.print_error("it failed", "do better")
logging.getLogger("ltsh_deploy.x").warning("pict\x1bure")
with console.progress("reading", 3) as advance:
    advance(1)
from ltsh_deploy.errors import InputError
sys.exit(main._report(InputError("no picture")))
"""


@pytest.mark.parametrize("how", ["missing", "broken", "broken inside"])
def test_without_rich_messages_are_plain(how: str, tmp_path: Path) -> None:
    package = tmp_path / "rich"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('broken')" if how == "broken" else "")
    (package / "console.py").write_text("class Console: pass\nraise AttributeError('broken')")
    setup = "sys.modules['rich'] = None" if how == "missing" else f"sys.path.insert(0, {str(tmp_path)!r})"
    result = python(WITHOUT_RICH.format(setup=setup))
    assert "Traceback" not in result.stderr
    assert result.returncode == 3
    assert result.stderr.endswith("error: it failed\ndo better\nwarning: pict\\x1bure\nerror: no picture\n")


def test_an_error_leaves_the_progress_bar() -> None:
    error = InputError("it failed")
    with pytest.raises(InputError) as caught, console.progress("reading", 3):
        raise error
    assert caught.value is error


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "import sys; from ltsh_deploy.cli.main import main; sys.exit(main(['--help']))"
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert result.returncode == 1
    assert result.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_stdout_is_told() -> None:
    code = "import sys; from ltsh_deploy.cli.main import main; sys.exit(main(['--help']))"
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == 1
    assert result.stderr == b"error: No space left on device: standard output\n"


def test_closed_streams_are_no_error() -> None:
    code = "import sys; from ltsh_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for arguments, expected in (("--help", 0), ("nonsense", 2), ("infer nothing --model nothing.onnx", 3)):
        line = f"exec '{sys.executable}' -c \"{code}\" {arguments} >&- 2>&-"
        assert subprocess.run(["/bin/sh", "-c", line], cwd=ROOT, timeout=60).returncode == expected


def test_the_package_runs_as_a_module() -> None:
    line = [sys.executable, "-m", "ltsh_deploy", "--version"]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, f"ltsh {__version__}\n")


def test_stdout_without_a_file_number_is_flushed_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert main.main(["--version"]) == 0
    assert stream.getvalue().startswith("ltsh ")


def test_no_model_no_traceback_and_json_stays_clean(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"")
    assert main.main(["infer", str(picture), "--model", str(tmp_path / "none.onnx"), "--json", "-"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "none.onnx" in captured.err
    assert "Traceback" not in captured.err


def test_doctor_writes_json_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"version": __version__, "core": {"status": "works"}}
    monkeypatch.setattr("ltsh_deploy.cli.doctor.examine", lambda: report)
    assert main.main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == report
    assert captured.err == ""
