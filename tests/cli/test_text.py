"""What people read: numbers, tables, and the story with its checked statements."""

from __future__ import annotations

import io

import pytest

from dynamokv.cli.text import NotAsStated, Story, duration, milliseconds, size, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_numbers() -> None:
    assert milliseconds(0.0012346) == "1.235 ms"
    assert [size(n) for n in (0, 1023, 1024, 1536, 3 << 20, 5 << 30, 7 << 40)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "3.0 MiB", "5.0 GiB", "7168.0 GiB",
    ]  # fmt: skip
    assert [duration(n) for n in (0.04, 59.9, 60, 5400, 86_400, 864_000)] == [
        "0.0 s", "59.9 s", "1.0 min", "1.5 h", "1.0 days", "10.0 days",
    ]  # fmt: skip


def test_a_table_has_even_columns() -> None:
    assert table([("a", "long", "x"), ("bcd", "e", "")]) == ["a    long  x", "bcd  e"]


def tell(story: Story) -> None:
    story.step("First")
    story.say("one", "two")
    story.check(True, "it is so")
    story.step("Second")
    story.end("over")


def test_a_story_is_numbered_plain_text_in_a_pipe() -> None:
    stream = io.StringIO()
    tell(Story(stream))
    assert stream.getvalue().splitlines() == [
        "", " 1. First", "    one", "    two", "    ok  it is so", "", " 2. Second", "", "over",
    ]  # fmt: skip


def test_a_story_is_coloured_on_a_terminal() -> None:
    stream = Terminal()
    tell(Story(stream))
    assert "\x1b[1m 1. First\x1b[0m" in stream.getvalue()
    assert "\x1b[32mok\x1b[0m  it is so" in stream.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    tell(Story(stream))
    assert "\x1b" not in stream.getvalue()


def test_a_statement_that_does_not_hold_ends_the_story() -> None:
    stream = io.StringIO()
    story = Story(stream)
    story.step("Counting")
    story.check(True, "one is one")
    with pytest.raises(NotAsStated) as raised:
        story.check(False, "one is two", [1])
    assert str(raised.value) == "step 1 (Counting): not so: one is two; found [1]"
    assert "NOT SO  one is two" in stream.getvalue()
    assert story.statements == 1
