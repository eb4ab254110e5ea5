"""When a message is complete, and the file that keeps what was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyollama.cli.conversation.history import ENTRIES, LineHistory
from pyollama.cli.conversation.lines import edited, is_open, unfenced


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", False),
        ('"""', True),
        ('"""one', True),
        ('"""one"""', False),
        ('"""one\ntwo', True),
        ('"""one\ntwo"""', False),
        ('"""one\ntwo"""  ', False),
        ('"""one""" two', True),
        ('say """', False),
        ('/set system """You', True),
        ('/set system """You"""', False),
        ("/set system You", False),
    ],
)
def test_marks_keep_a_message_open(text: str, expected: bool) -> None:
    assert is_open(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("  one  ", "one"), ('"""one\ntwo"""', "one\ntwo"), ('"""\none\n"""', "\none\n"), ("", "")],
)
def test_the_marks_are_no_part_of_the_message(text: str, expected: str) -> None:
    assert unfenced(text) == expected


def test_lines_are_kept_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / ".ollama" / "history"
    first = LineHistory(path, enabled=True)
    first.append_string("one")
    first.append_string('"""two\nthree"""')
    assert path.read_text() == 'one\n"""two\nthree"""\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(LineHistory(path, enabled=True).load_history_strings()) == [
        'three"""',
        '"""two',
        "one",
    ]
    assert [each.name for each in path.parent.iterdir()] == ["history"]


def test_two_conversations_keep_each_others_lines(tmp_path: Path) -> None:
    one, two = (LineHistory(tmp_path / "history", enabled=True) for _ in range(2))
    one.append_string("from one")
    two.append_string("from two")
    one.append_string("again")
    assert (tmp_path / "history").read_text() == "from one\nfrom two\nagain\n"


def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "history", enabled=True)
    for number in range(ENTRIES + 5):
        history.append_string(f"line {number}")
    lines = (tmp_path / "history").read_text().splitlines()
    assert (len(lines), lines[0]) == (ENTRIES, "line 5")


def test_nothing_is_kept_unless_wanted(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "history", enabled=False)
    history.append_string("secret")
    assert not list(tmp_path.iterdir())


def test_a_history_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = LineHistory(tmp_path / "file" / "history", enabled=True)
    history.append_string("one")
    assert not history.enabled


def test_a_file_of_anything_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b"\xff\xfe\x00\n\n\nlast")
    history = LineHistory(tmp_path / "history", enabled=True)
    assert next(iter(history.load_history_strings())) == "last"


def test_the_editor_changes_the_text(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "%s\\n\\n" "$1" >> "$2"\n')
    editor.chmod(0o755)
    assert edited("text: ", f"'{editor}' added") == "text: added"


@pytest.mark.parametrize("editor", ["/nowhere/editor", "'"])
def test_an_editor_that_is_missing_is_named(
    editor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edited("text", editor) is None
    assert "OLLAMA_EDITOR" in capsys.readouterr().out
