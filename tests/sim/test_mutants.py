"""Safeguards that are taken out are missed; ``make mutants`` shows it for all of them."""

from __future__ import annotations

import io

import pytest

from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.requests.tally import Tally, Verdict
from dynamokv.types import NodeId
from tests.sim.mutants import main
from tests.sim.mutants_patch import Edit, Misfit, Mutant
from tests.sim.mutants_protocol import PROTOCOL
from tests.sim.mutants_run import KINDS, MUTANTS, hunt_all, try_seed
from tests.sim.mutants_storage import STORAGE
from tests.sim.mutants_unseen import REDUNDANT, UNSEEN

QUICK = (
    "join drops what the other side lacks",
    "the newer record wins",
    "time goes back with the wall clock",
    "a read trusts its own copy",
    "reads repair nothing",
    "tickets are never dropped",
    "writes build on what is durable only",
    "the oldest log is not replayed",
    "the older row wins a merge",
    "nobody objects to an accusation",
)
"""Found by one of the first seeds."""

QUICK_SEEDS = 5

ONE, OTHER = NodeId(b"1" * 16), NodeId(b"2" * 16)
COUNTS_TWICE = MUTANTS["an ack that comes twice counts twice"]


def test_there_are_enough_of_both_kinds() -> None:
    assert len(MUTANTS) == sum(map(len, KINDS)), "two mutants have one name"
    assert not set(REDUNDANT) & set(UNSEEN)
    assert MUTANTS.keys() >= REDUNDANT.keys() | UNSEEN.keys()
    hunted = MUTANTS.keys() - REDUNDANT.keys() - UNSEEN.keys()
    kinds = [sum(mutant.name in hunted for mutant in kind) for kind in (PROTOCOL, STORAGE)]
    assert min(kinds) >= 15


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_it_fits_the_product(mutant: Mutant) -> None:
    codes = [edit.function().__code__ for edit in mutant.edits]
    with mutant.applied():
        changed = [edit.function().__code__ for edit in mutant.edits]
    assert mutant.edits
    assert all(now is not before for now, before in zip(changed, codes, strict=True))
    assert [edit.function().__code__ for edit in mutant.edits] == codes, "it did not go away"


def test_a_mutant_is_there_for_a_while() -> None:
    def verdict() -> Verdict:
        tally = Tally([ONE, OTHER], 2)
        add = tally.add
        add(ONE)
        add(ONE)
        return tally.verdict

    def interrupted() -> None:
        with COUNTS_TWICE.applied():
            assert verdict() is Verdict.WON
            raise KeyboardInterrupt

    assert verdict() is Verdict.PENDING
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert verdict() is Verdict.PENDING


def test_properties_can_be_edited() -> None:
    target = Tally.__dict__["verdict"]
    mutant = Mutant("lost", "nothing", (Edit(target, "return _PENDING", "return _LOST"),))

    def verdict() -> Verdict:
        return Tally([ONE, OTHER], 1).verdict

    with mutant.applied():
        assert verdict() is Verdict.LOST
    assert verdict() is Verdict.PENDING


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("if self._unanimous() or nobody:", "if False:", "0 times"),
        ("return", "pass", "2 times"),
        ("self.done = True", "self.done = (", "was never closed"),
        ("if self._unanimous():", "if (self._unanimous()):", "is the same"),
    ],
)
def test_a_mutant_that_does_not_fit_says_so(before: str, after: str, why: str) -> None:
    with pytest.raises(Misfit, match=why), Edit(GetOp._repair, before, after).applied():
        pytest.fail("it was put in place")


def test_quick_ones_are_found() -> None:
    out = io.StringIO()
    mutants = [MUTANTS[name] for name in QUICK]
    assert hunt_all(mutants, range(QUICK_SEEDS), 1, out) == 0, out.getvalue()
    assert f"{len(QUICK)} of {len(QUICK)} mutants found" in out.getvalue()


def test_a_survivor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = Mutant("harmless", "nothing", (Edit(Tally.failures, "[:8]", "[:9]"),))
    monkeypatch.setitem(MUTANTS, harmless.name, harmless)
    out = io.StringIO()
    assert hunt_all([harmless], range(1), 1, out) == 1
    assert "harmless survives 1 seeds: nothing" in out.getvalue()
    assert try_seed(harmless.name, 0) == ("", "", False)


def test_the_list_has_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{mutant.name}\n    {mutant.rule}\n" in listed for mutant in MUTANTS.values())
    assert listed.count("not found today") == len(REDUNDANT) + len(UNSEEN)
    with pytest.raises(SystemExit, match="2"):
        main(["no such thing"])
    assert "no such mutant" in capsys.readouterr().err
