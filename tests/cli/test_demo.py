"""The demo: all of it, and what is left of it when it fails, is stopped, or is interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamokv.cli import demo, main
from dynamokv.cli.process import CallRefused, MemberFailed, MemberProcess
from dynamokv.cli.text import Story
from dynamokv.cli.writer import Writer
from tests.cli.commands import alive, start
from tests.waiting import until

STEPS = 12


def test_every_statement_holds(tmp_path: Path) -> None:
    process = start(tmp_path, "demo")
    output, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")
    assert re.findall(r"^ ?(\d+)\. ", output, re.MULTILINE) == [str(n + 1) for n in range(STEPS)]
    statements = len(re.findall(r"^    ok  ", output, re.MULTILINE))
    assert statements >= 20
    assert f"{statements} statements held, in " in output
    assert "\x1b" not in output
    assert "Unavailable: too few replicas are alive" in output
    pids = [int(pid) for pid in re.findall(r"process (\d+)", output)]
    assert len(pids) == 5
    assert not [pid for pid in pids if alive(pid)]
    assert not list(tmp_path.iterdir())


def pids_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a demo has started, from its first lines."""
    assert process.stdout is not None
    pids: list[int] = []
    while len(pids) < 3:
        if found := re.search(r"process (\d+)", process.stdout.readline()):
            pids.append(int(found[1]))
    return pids


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interrupted_it_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path, "demo")
    pids = pids_of(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (code, "")
    assert not [pid for pid in pids if alive(pid)]
    assert not list(tmp_path.iterdir())


def test_killed_its_members_do_not_outlive_it(tmp_path: Path) -> None:
    process = start(tmp_path, "demo")
    pids = pids_of(process)
    process.kill()
    process.communicate()
    until(lambda: not any(map(alive, pids)), "the members notice that nobody talks to them")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "step 1 (Counting): not so: one is two"),
        (MemberFailed("member b ended"), "member b ended"),
        (CallRefused("Unavailable", "too few"), "Unavailable: too few"),
    ],
)
def test_it_fails_when_something_is_not_as_stated(
    error: Exception | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def tell(story: Story, _: demo.Ring) -> None:
        story.step("Counting")
        if error is not None:
            raise error
        story.check(False, "one is two")

    monkeypatch.setattr(demo, "_tell", tell)
    assert main(["demo"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("dynamokv: the demo failed: ")
    assert said in errors
    assert errors.count("\n") == 1


@pytest.fixture
def member(tmp_path: Path) -> Iterator[MemberProcess]:
    process = MemberProcess("m", tmp_path)
    yield process
    process.discard()


def test_a_member_answers_calls_and_comes_back_as_itself(member: MemberProcess) -> None:
    member.spawn(seeds=())
    member.ready()
    identity, address = member.node_id, member.address
    assert member.call("put", key="k", value=[1, "a"], level="ONE")["acks"] == 1
    with pytest.raises(CallRefused) as refused:
        member.call("put", key="k", value=2, level="ALL", context="00")
    assert refused.value.kind == "InvalidContext"
    assert member.stop() == 0
    member.spawn(seeds=())
    member.ready()
    assert (member.node_id, member.address) == (identity, address)
    assert member.call("read", key="k", level="ONE")["value"] == [1, "a"]


def test_a_member_that_cannot_start_says_why(member: MemberProcess) -> None:
    member.data_dir.write_text("no directory")
    member.spawn(seeds=())
    with pytest.raises(MemberFailed, match="member m did not start: StorageError"):
        member.ready()


def test_a_member_that_is_gone_is_noticed(member: MemberProcess) -> None:
    with pytest.raises(MemberFailed, match="not running"):
        member.call("ring")
    member.spawn(seeds=())
    member.ready()
    pid = member.pid
    member.kill()
    assert not alive(pid)
    with pytest.raises(MemberFailed, match="not running"):
        member.call("ring")


def test_a_writer_keeps_the_account_and_stops_at_a_failure(member: MemberProcess) -> None:
    member.spawn(seeds=())
    member.ready()
    writer = Writer(member)
    writer.start()
    writer.wait_for(5, 20.0)
    assert not writer.refusals
    member.kill()
    until(lambda: writer.refusals, "the writer notices")
    writer.finish()
    assert writer.acknowledged == len(writer.keys) >= 5
    assert writer.values == list(range(writer.acknowledged))
    assert writer.longest > 0
