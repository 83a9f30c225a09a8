"""The model card: everything on it, nothing broken by what others wrote, no guess at what is not known."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import ltsh_deploy
from ltsh_deploy.train.model_card import DataRecord, RunRecord, model_card
from ltsh_deploy.train.sessions import Session
from ltsh_deploy.train.versions import CodeVersion, code_version, package_versions

CONFIG: dict[str, Any] = {
    "seed": 7,
    "optimiser": {"lr": 5e-05, "betas": [0.8, 0.999]},
    "teacher": {"kind": "group", "window": 20},
    "note": "tick ``` ü",
}


def window(number: int, group: int, delta: float, probabilities: list[float]) -> dict[str, Any]:
    line = {"window": number, "group": group, "delta": delta, "probabilities": probabilities}
    return {"kind": "window", "step": 20 * number + 20, **line}


HISTORY = [
    window(0, 1, 0.0, [0.5, 0.5]),
    {"kind": "train", "step": 30, "loss": 1.0},
    window(1, 1, 1.0, [0.4, 0.6]),
    window(2, 0, -1.0, [0.2, 0.8]),
    window(3, 1, 1.0, [0.3, 0.7]),
]
RECORD = RunRecord(
    name="light, first",
    network="ltsh_light",
    skeleton="ltsh15",
    parameters=1234567,
    data=[
        DataRecord("lspet", "research only", "training, half of every batch", 9000, 9000),
        DataRecord("people", "", "training, half of every batch", 800, 4000, {"centre outside the image": 12}),
    ],
    config=CONFIG,
    metrics={"PCK@0.2 on 1,000 people": 51.234567, "remark": "at the last step"},
    history=HISTORY,
    sessions=[Session(0, CodeVersion("0.1.0", "a1b2c3", changed=True), {"torch": "2.13.0"}, "cpu")],
    command="ltsh train config.yaml --set seed=7",
    seed=7,
    steps=4000,
    group_names=("below 20", "20 and above"),
    notes=["Weak on **upside-down** people."],
)


def rows(page: str) -> list[list[str]]:
    """The cells of all tables."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if line.startswith("|")
    ]


def test_everything_is_on_it() -> None:
    page = model_card(RECORD)
    assert page.startswith("# light, first\n")
    table = rows(page)
    assert ["Parameters", "1,234,567"] in table
    assert ["Seed", "7"] in table
    assert ["Code", "ltsh-deploy 0.1.0, commit a1b2c3 with changes that are not committed"] in table
    assert ["Packages", "torch 2.13.0"] in table
    assert ["lspet", "training, half of every batch", "9,000", "9,000", "none", "research only"] in table
    assert [
        "people",
        "training, half of every batch",
        "800",
        "4,000",
        "12 centre outside the image",
        "not known",
    ] in table
    assert ["PCK@0.2 on 1,000 people", "51.23"] in table
    assert "```sh\nltsh train config.yaml --set seed=7\n```" in page
    assert "Weak on **upside-down** people." in page


def test_the_configuration_can_be_copied_out_of_it() -> None:
    fence, text = re.findall(r"^(`{3,})yaml\n(.*?)\n\1$", model_card(RECORD), re.MULTILINE | re.DOTALL)[0]
    assert fence == "````"
    assert yaml.safe_load(text) == CONFIG


def test_the_teacher_is_summed_up() -> None:
    page = model_card(RECORD)
    assert "`group`, 4 windows. Rewarded in 2 of them, penalised in 1." in page
    assert ["below 20", "1", "0.350", "0.500", "0.300"] in rows(page)
    assert ["20 and above", "3", "0.650", "0.800", "0.700"] in rows(page)
    unnamed = rows(model_card(replace(RECORD, group_names=())))
    assert ["group 1", "3", "0.650", "0.800", "0.700"] in unnamed


@pytest.mark.parametrize(
    ("teacher", "history", "words"),
    [
        (None, [], "None: samples were drawn from the data sets alone."),
        ({"kind": "uniform"}, [], "`uniform`; no window of it was completed."),
        (
            {"kind": "random"},
            [{"kind": "window", "step": 20, "group": None, "probabilities": []}],
            "`random`, 1 windows.",
        ),
    ],
)
def test_other_teachers_are_too(teacher: Any, history: list[dict[str, Any]], words: str) -> None:
    assert words in model_card(replace(RECORD, config={"teacher": teacher}, history=history))


def test_a_run_that_went_on_otherwise_says_from_which_step_on() -> None:
    first, other = CodeVersion("0.1.0", "a1b2c3"), CodeVersion("0.2.0", "d4e5f6")
    torch = {"torch": "2.13.0"}
    sessions = [
        Session(0, first, torch, "cpu"),
        Session(1200, other, torch, "cpu", {"optimiser.lr": (0.002, 0.001), "teacher.kind": (None, "a|b")}),
        Session(1300, other, torch, "2 x cpu"),
    ]
    page = model_card(replace(RECORD, sessions=sessions))
    table = rows(page)
    code = "ltsh-deploy 0.1.0, commit a1b2c3; from step 1,200 on ltsh-deploy 0.2.0, commit d4e5f6"
    assert ["Code", code] in table
    assert ["Packages", "torch 2.13.0"] in table
    assert ["Device", "cpu; from step 1,300 on 2 x cpu"] in table
    assert "Resumed at step 1,200 with changes:" in page
    assert ["optimiser.lr", "0.002", "0.001"] in table
    assert ["teacher.kind", "null", '"a\\|b"'] in table
    assert "code and packages named above, and what was changed on the way" in page
    assert "Resumed" not in model_card(RECORD)


def test_what_is_not_known_is_said_to_be() -> None:
    bare = replace(RECORD, data=[], metrics={}, history=[], sessions=[Session(0, CodeVersion("0.1.0"))], config={})
    table, page = rows(model_card(bare)), model_card(bare)
    assert ["Code", "ltsh-deploy 0.1.0, commit not known"] in table
    assert ["Packages", "not known"] in table
    assert ["Device", "not known"] in table
    assert "Nothing was measured." in page
    assert "## Training data\n\nNone." in page
    assert "## Notes" not in model_card(replace(bare, notes=()))


def test_names_and_licences_cannot_break_the_page() -> None:
    evil = "a|b\n## c <script>`x` [y](z) *w* _v_"
    page = model_card(replace(RECORD, name=evil, data=[DataRecord(evil, evil, evil, 1, 1, {evil: 2})]))
    assert len(re.findall(r"^#+ ", page, re.MULTILINE)) == len(re.findall(r"^#+ ", model_card(RECORD), re.MULTILINE))
    assert not re.search(r"(?<!\\)<script", page)
    (row,) = [cells for cells in rows(page) if cells[0].startswith("a\\|b")]
    assert len(row) == 6


def test_the_code_version_is_that_of_the_checkout(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")

    def git(*arguments: str) -> str:
        line = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    assert code_version(tmp_path) == CodeVersion(ltsh_deploy.__version__)
    (tmp_path / "setup.cfg").write_text("[metadata]\n")
    assert code_version(tmp_path) == CodeVersion(ltsh_deploy.__version__)
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert code_version(tmp_path) == CodeVersion(ltsh_deploy.__version__, commit, changed=False)
    (tmp_path / "setup.cfg").write_text("[options]\n")
    assert code_version(tmp_path) == CodeVersion(ltsh_deploy.__version__, commit, changed=True)
    # Installed into a folder of somebody else's checkout.
    inside = tmp_path / "lib"
    inside.mkdir()
    (inside / "setup.cfg").touch()
    assert code_version(inside) == CodeVersion(ltsh_deploy.__version__)


def test_the_packages_are_those_installed() -> None:
    versions = package_versions()
    assert {"Python", "torch", "numpy"} <= versions.keys()
