"""Templates in the process of their own: harm stays there, and the others get their answer."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from tests.native.hostile_templates import HOSTILE

from pyollama.errors import EngineClosed, TemplateError
from pyollama.templating.renderer import Renderer
from pyollama.templating.wire import Source

GOOD = Source(
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", "<s>"
)
REQUEST = json.dumps({"messages": [{"role": "user", "content": "é"}]})
SECONDS = 0.5


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    renderer = Renderer(seconds=SECONDS)
    yield renderer
    renderer.close()


def prompt(renderer: Renderer, source: Source = GOOD) -> str:
    return str(json.loads(renderer.render(source, REQUEST))["prompt"])


def processes() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [one for one in found if "pyollama.templating.process" in one.cmdline()]


def test_prompts_are_rendered_in_one_process(renderer: Renderer) -> None:
    assert prompt(renderer) == "<s><user>é"
    assert prompt(renderer, Source()).startswith("<|im_start|>user\n")
    assert len(processes()) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_an_error(renderer: Renderer, name: str) -> None:
    text, message = HOSTILE[name]
    with pytest.raises(TemplateError, match=message):
        renderer.render(Source(text), REQUEST)
    assert prompt(renderer).endswith("<user>é")
    for process in processes():
        assert process.memory_info().rss < 1 << 30


def test_others_are_served_beside_hostile_ones(renderer: Renderer) -> None:
    hostile = [HOSTILE[name][0] for name in ("loop that takes years", "division by zero")]

    def refused(text: str) -> bool:
        with pytest.raises(TemplateError):
            renderer.render(Source(text), REQUEST)
        return True

    with ThreadPoolExecutor(16) as pool:
        bad = [pool.submit(refused, text) for text in hostile * 2]
        good = [pool.submit(prompt, renderer) for _ in range(40)]
        assert {one.result() for one in good} == {"<s><user>é"}
        assert all(one.result() for one in bad)
    assert len(processes()) <= 1


def test_a_process_that_is_killed_is_replaced(renderer: Renderer) -> None:
    expected = prompt(renderer)
    for process in processes():
        process.kill()
    assert prompt(renderer) == expected


def test_a_template_is_checked_without_a_request(renderer: Renderer) -> None:
    renderer.check(GOOD)
    with pytest.raises(TemplateError):
        renderer.check(Source("{% if %}"))


def test_nothing_is_left_when_it_is_closed() -> None:
    before = len(processes())
    renderer = Renderer(seconds=SECONDS)
    renderer.check(GOOD)
    assert len(processes()) == before + 1
    renderer.close()
    assert len(processes()) == before
    with pytest.raises(EngineClosed):
        renderer.check(GOOD)


SERVER = """
import threading, time
from pyollama.templating.renderer import Renderer
from pyollama.templating.wire import Source
renderer = Renderer(seconds=600)
renderer.check(Source("x"))
endless = "{% for i in range(100000) %}" * 4 + "{% endfor %}" * 4
messages = '{"messages": [{"role": "user", "content": "x"}]}'
threading.Thread(target=renderer.render, args=(Source(endless), messages), daemon=True).start()
print(renderer._child.pid, flush=True)
time.sleep(600)
"""


def test_the_process_ends_with_its_server() -> None:
    """Even in the middle of a template that has no end."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        child = psutil.Process(int(server.stdout.readline()))
        server.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(60)
    assert not child.is_running()
