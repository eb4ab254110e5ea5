"""The conversation of ``run``, as somebody at a terminal has it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import Server, running_server
from tests.e2e.terminal import Terminal, terminal

_READY = r"^>>> Send a message \(/\? for help\)$"
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
_ENDLESS = {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,8}$"}}
_LONG = json.dumps(_ENDLESS | {"minItems": 10_000})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def window(server: Server, tmp_path: Path) -> Iterator[Terminal]:
    with conversation(server, tmp_path) as shown:
        yield shown


def conversation(
    server: Server, folder: Path, *flags: str, model: str = "builtin"
) -> AbstractContextManager[Terminal]:
    command = [sys.executable, "-m", "pyollama", "run", model, *flags]
    environment = server.environment | {"HOME": str(folder)}
    environment.pop("NO_COLOR")
    return terminal(folder, command, environment, rows=60)


def ask(window: Terminal, text: str) -> str:
    """Type ``text`` on an empty screen; the screen when the next prompt is there."""
    window.wait_for(_READY)
    window.press("C-l")
    window.wait_for(rf"\A{_READY}\Z")
    window.type(text)
    return window.wait_for(rf"\A>>> {re.escape(text[:15])}(?s:.*){_READY}")


def history(folder: Path) -> list[str]:
    return (folder / ".ollama" / "history").read_text().splitlines()


def test_a_message_of_several_lines(window: Terminal, tmp_path: Path) -> None:
    window.wait_for(_READY)
    window.type('"""What is')
    window.wait_for(r"^\.\.\.$")
    window.type("the capital")
    window.type('of France?"""')
    screen = window.wait_for(_READY)
    assert """... the capital\n... of France?""" in screen
    assert "Paris" in screen
    assert history(tmp_path) == ['"""What is', "the capital", 'of France?"""']


def test_a_paste_and_a_new_line_wait_for_enter(window: Terminal) -> None:
    window.wait_for(_READY)
    window.paste("What is the\ncapital of")
    window.wait_for(r"^\.\.\. capital of$")
    window.press("C-j")
    window.wait_for(r"^\.\.\.$")
    window.type("France?")
    assert "Paris" in window.wait_for(_READY)


def test_earlier_messages_come_back(server: Server, tmp_path: Path) -> None:
    with conversation(server, tmp_path) as window:
        ask(window, "Hello!")
        ask(window, "/set nohistory")
        ask(window, "This is not kept")
        window.type("/bye")
        window.wait_for("STATUS 0")
    assert history(tmp_path) == ["Hello!", "/set nohistory"]
    with conversation(server, tmp_path) as window:
        window.wait_for(_READY)
        window.press("Up")
        window.wait_for("^>>> /set nohistory$")
        window.press("Up")
        window.wait_for("^>>> Hello!$")
        window.press("C-c")
        window.wait_for(_READY)
        window.press("C-c")
        window.wait_for(r"^Use Ctrl \+ d or /bye to exit\.$")
        window.press("C-d")
        window.wait_for("STATUS 0")


def test_the_history_keeps_a_hundred_lines(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".ollama").mkdir()
    lines = [f"message {n}" for n in range(100)]
    (tmp_path / ".ollama" / "history").write_text("\n".join(lines))
    with conversation(server, tmp_path) as window:
        ask(window, "/clear")
    assert history(tmp_path) == [*lines[1:], "/clear"]


def test_slash_commands(window: Terminal, server: Server) -> None:
    assert "/load <model>" in ask(window, "/?")
    assert "/set parameter" in ask(window, "/help set")
    assert "Ctrl + g" in ask(window, "/? shortcuts")
    assert "Unknown command '/nope'. Type /? for help" in ask(window, "/nope at all")
    assert "builtin:latest" in ask(window, "/list")
    assert "architecture        qwen2" in ask(window, "/show info")
    assert "MIT License" in ask(window, "/show license")
    assert "No system message was specified" in ask(window, "/show system")
    assert "Set parameter 'stop' to 'END, Paris'" in ask(window, "/set parameter stop END Paris")
    assert "Couldn't set parameter: \"invalid int" in ask(window, "/set parameter top_k x")
    assert "Paris" not in ask(window, "What is the capital of France?").replace("END", "")
    assert re.search(r"stop +END, Paris", ask(window, "/show parameters"))
    assert "Set system message." in ask(window, "/set system Be brief.")
    assert "Be brief." in ask(window, "/show system")
    assert "Set 'verbose' mode." in ask(window, "/set verbose")
    assert "eval rate:" in ask(window, "Hello!")
    assert "Set 'quiet' mode." in ask(window, "/set quiet")
    assert "error: The model name '::' is invalid" in ask(window, "/save ::")
    assert "Created new model 'mine'" in ask(window, "/save mine")
    assert "Couldn't find model 'nope'" in ask(window, "/load nope")
    assert "Hello!" in ask(window, "/load mine")  # what was said is part of the model
    assert "Cleared session context" in ask(window, "/clear")
    saved = httpx.post(f"{server.url}/api/show", json={"model": "mine"}).json()
    assert saved["system"] == "Be brief."
    assert re.search(r'stop +"Paris"', saved["parameters"])
    assert saved["messages"][-2] == {"role": "user", "content": "Hello!"}


def test_the_form_of_answers(window: Terminal) -> None:
    assert "Invalid or missing format" in ask(window, "/set format yaml")
    assert "Set format to 'json' mode." in ask(window, "/set format json")
    assert re.search(r"^\{", ask(window, "Hello!"), re.MULTILINE)
    assert "Disabled format." in ask(window, "/set noformat")
    assert not re.search(r"^\{", ask(window, "Hello!"), re.MULTILINE)


def test_thinking_that_the_model_cannot(window: Terminal) -> None:
    assert "does not support thinking output" in ask(window, "/set think")
    assert "does not support thinking" in ask(window, "Hello!")
    assert "Set 'nothink' mode." in ask(window, "/set nothink")
    assert "does not support" not in ask(window, "Hello!")


def test_ctrl_c_stops_the_answer_alone(server: Server, tmp_path: Path) -> None:
    with conversation(server, tmp_path, "--format", _LONG) as window:
        window.wait_for(_READY)
        window.type("Write.")
        window.wait_for(r"^\[\s*\"")
        window.press("C-c")
        window.wait_for(_READY)
        assert "Disabled format." in ask(window, "/set noformat")
        assert "Paris" in ask(window, "What is the capital of France?")


def test_a_smaller_window(server: Server, tmp_path: Path) -> None:
    """The words of an answer stay whole when the window shrinks while it is written."""
    with conversation(server, tmp_path, "--format", _LONG) as window:
        window.wait_for(_READY)
        window.type("Write as many words as you can think of, and then some.")
        window.wait_for(r"(?:^.{60,75}$\n){3}")
        window.resize(40, 30)
        narrow = r"(?:^.{1,35}$\n){20}"
        screen = window.wait_for(narrow)
        window.press("C-c")
        window.wait_for(_READY)
        found = re.search(narrow, screen, re.MULTILINE)
        assert found is not None
        assert all(line.count('"') % 2 == 0 for line in found[0].splitlines()[1:]), screen
        typed = "A message that is longer than the window is wide"
        window.press("C-l")
        window.wait_for(rf"\A{_READY}\Z")
        window.press(*typed.replace(" ", "~Space~").split("~"))
        window.wait_for(r"^>>> A message that is longer than the wi\n    ndow is wide$")


def test_images_by_their_path(window: Terminal, tmp_path: Path) -> None:
    image = tmp_path / "a picture.PNG"
    image.write_bytes(_PNG)
    path = str(image).replace(" ", "\\ ")
    screen = ask(window, f"{path} What is this?")
    assert "Added image" in screen
    assert "cannot read images" in screen.replace("\n", " ")
    image.write_bytes(b"GIF89a")
    assert "invalid file type" in ask(window, f"What is {path}?")
    assert "Added" not in ask(window, "What is ./missing.png?")


def test_an_editor_of_the_users_choice(server: Server, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "capital of France?\\n" >> "$1"\n')
    editor.chmod(0o755)
    command = [sys.executable, "-m", "pyollama", "run", "builtin"]
    settings = {"HOME": str(tmp_path), "OLLAMA_EDITOR": str(editor)}
    with terminal(tmp_path, command, server.environment | settings) as window:
        window.wait_for(_READY)
        window.press(*"What", "Space", *"is", "Space", *"the", "Space", "C-g")
        window.wait_for("^>>> What is the capital of France\\?$")
        window.press("Enter")
        assert "Paris" in window.wait_for(_READY)


def test_a_model_that_stays_as_long_as_asked(server: Server, tmp_path: Path) -> None:
    with conversation(server, tmp_path, "--keepalive", "-1s", "--nowordwrap") as window:
        ask(window, "Hello!")
    running = httpx.get(f"{server.url}/api/ps").json()["models"]
    assert any(each["expires_at"] > "2100" for each in running)
