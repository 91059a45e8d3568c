"""``dynamokv member`` and ``dynamokv status``, as somebody at a shell uses them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import dynamokv
from dynamokv.cli import main
from tests.cli.commands import RunningMember, start, start_member
from tests.waiting import until


@pytest.fixture
def founder(tmp_path: Path) -> Iterator[RunningMember]:
    member = start_member(tmp_path, "127.0.0.1:0", "--data-dir", "data")
    yield member
    if member.process.poll() is None:
        member.process.kill()
        member.process.communicate()


def test_it_serves_and_comes_back_with_its_data(tmp_path: Path, founder: RunningMember) -> None:
    assert founder.greeting.endswith("ring 'dynamokv', 1 of 1 members up; data in data")
    with dynamokv.connect([founder.address]) as client:
        client.put("k", "v")
    farewell = founder.stop(signal.SIGTERM)
    assert farewell == "stopped: it keeps its place, and comes back with data"
    again = start_member(tmp_path, founder.address, "--data-dir", "data")
    assert (again.member_id, again.address) == (founder.member_id, founder.address)
    with dynamokv.connect([again.address]) as client:
        assert client.get("k") == "v"
    again.stop(signal.SIGINT)


def test_settings_come_from_arguments_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "member.toml").write_text('cluster = "shop"\nzone = "file"\nn = 2\n', "utf-8")
    member = start_member(tmp_path, "127.0.0.1:0", "--config", "member.toml", "--zone", "argument")
    assert "ring 'shop'" in member.greeting
    with dynamokv.connect([member.address], cluster="shop") as client:
        status = client.status()
    assert status["n"] == 2
    assert [found["zone"] for found in status["members"].values()] == ["argument"]
    assert "cannot come back" in member.stop(signal.SIGTERM)


def test_seeds_may_be_words_or_have_commas(tmp_path: Path, founder: RunningMember) -> None:
    seeds = [founder.address, "127.0.0.1:1"]
    members = [
        start_member(tmp_path, "127.0.0.1:0", "--seeds", *seeds),
        start_member(tmp_path, "127.0.0.1:0", "--seeds", ",".join(seeds)),
    ]
    with dynamokv.connect([founder.address]) as client:
        assert len(client.status()["members"]) == 3
    for member in members:
        assert "cannot come back" in member.stop(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_while_it_waits_for_its_ring(tmp_path: Path, number: int) -> None:
    data_dir = tmp_path / "data"
    process = start(
        tmp_path, "member", "127.0.0.1:0", "--seeds", "127.0.0.1:1", "--data-dir", str(data_dir)
    )
    until(lambda: (data_dir / "LOCK").exists(), "the store is open")
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output == "stopped before it had a place in a ring\n"


def test_status_shows_every_member_and_its_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    a = dynamokv.join("127.0.0.1:0")
    b = dynamokv.join("127.0.0.1:0", seeds=[a.address])
    c = dynamokv.join("127.0.0.1:0", seeds=[a.address])
    with a, b:
        with c:
            for member in (a, b, c):
                member.put("k", "v")
                member.get("k")
            assert main(["status", a.address]) == 0
            everyone = capsys.readouterr().out
        assert main(["status", a.address]) == 0
        two = capsys.readouterr().out
        assert main(["status", a.address, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)

    assert "3 members, 3 copies of each key, 512 partitions" in everyone
    assert "(serving, healthy)" in everyone
    rows = everyone.splitlines()[4:7]
    assert len({row.split()[0] for row in rows}) == len(rows) == 3
    for row in rows:
        assert " up " in row
        assert row.count(" ms") == 3
        assert " 100% " in row
    assert everyone.splitlines()[8].startswith("member    hints for others  in bytes  trees")
    assert len(everyone.splitlines()[9:]) == 3
    assert two.count(" up ") == 2
    assert [line for line in two.splitlines() if " down " in line and line.count(" -") == 5]
    assert len(document["status"]["members"]) == 3
    assert len(document["metrics"]) == 2
    assert all(found["storage_used"] > 0 for found in document["metrics"].values())
