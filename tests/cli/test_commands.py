"""Arguments, exit codes, and one line for whatever goes wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import dynamokv
from dynamokv.cli import main
from tests.cli.commands import start
from tests.documents import clean_environment, run_python

WRONG_ARGUMENTS = [
    ([], "COMMAND"),
    (["nonsense"], "nonsense"),
    (["demo", "--fast"], "--fast"),
    (["member"], "ADDRESS"),
    (["member", "nonsense"], "host:port"),
    (["member", "127.0.0.1:0", "--durability", "none"], "durability"),
    (["member", "127.0.0.1:0", "--weight", "heavy"], "weight"),
    (["member", "127.0.0.1:0", "--weight", "0"], "weight"),
    (["member", "127.0.0.1:0", "--seeds", "here"], "seeds"),
    (["member", "0.0.0.0:0"], "insecure"),
    (["member", "127.0.0.1:0", "--config", "nowhere.toml"], "nowhere.toml"),
    (["status"], "ADDRESS"),
    (["status", "nonsense"], "host:port"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings are not what is tested."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("arguments", "named"), WRONG_ARGUMENTS)
def test_wrong_arguments_are_named_in_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dynamokv")
    assert said.err.count("\n") == 1
    assert named in said.err


def test_a_wrong_log_level_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DYNAMOKV_LOG_LEVEL", "loud")
    assert main(["member", "127.0.0.1:0"]) == 2
    assert "DYNAMOKV_LOG_LEVEL" in capsys.readouterr().err


def test_an_error_of_the_library_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "127.0.0.1:1", "--timeout", "0.2"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "JoinTimeout" in said.err


def test_a_taken_data_directory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with dynamokv.join("127.0.0.1:0", data_dir=tmp_path):
        assert main(["member", "127.0.0.1:0", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "DataDirLocked" in said.err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dynamokv {dynamokv.__version__}\n"
    for arguments in (["--help"], ["demo", "--help"], ["member", "--help"], ["status", "--help"]):
        assert main(arguments) == 0
        assert "usage: dynamokv" in capsys.readouterr().out


def test_the_module_runs_from_anywhere(tmp_path: Path) -> None:
    run = run_python("-m", "dynamokv", "--version", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"dynamokv {dynamokv.__version__}\n"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    process = start(tmp_path, "demo")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(50) == 1
    assert process.stderr.read() == ""
    process.stderr.close()
    assert not list(tmp_path.iterdir())
