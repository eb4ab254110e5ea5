"""The command line against a real server with the built-in model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.running import Server, clean_environment, free_port, running_server

from pyollama import __version__, builtin


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


def pyollama(
    server: Server, *arguments: str, text: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyollama", *arguments],
        env=server.environment,
        input=text,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def table(text: str) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_version(server: Server) -> None:
    assert pyollama(server, "--version").stdout == f"pyollama version is {__version__}\n"


def test_list_and_show_the_builtin_model(server: Server) -> None:
    header, *rows = table(pyollama(server, "list").stdout)
    assert header == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert "builtin:latest" in [row[0] for row in rows]
    assert ["architecture", "qwen2"] in table(pyollama(server, "show", "builtin").stdout)


def test_answers_a_prompt_and_says_how_fast(server: Server) -> None:
    done = pyollama(server, "run", "builtin", "--verbose", "Hello!")
    assert done.returncode == 0
    assert done.stdout.strip()
    assert re.search(r"^eval rate: +\d+\.\d+ tokens/s$", done.stderr, re.MULTILINE)


def test_piped_text_comes_before_the_arguments(server: Server, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text(
        "FROM builtin\nPARAMETER temperature 0\nPARAMETER num_predict 8\n"
    )
    assert pyollama(server, "create", "short", folder=tmp_path).returncode == 0
    piped = pyollama(server, "run", "short", "of France?", text="What is the capital")
    spelled = pyollama(server, "run", "short", "What is the capital of France?")
    assert piped.stdout == spelled.stdout
    assert piped.stdout.strip()


def test_ps_and_stop(server: Server) -> None:
    assert pyollama(server, "run", "builtin", "").returncode == 0
    rows = table(pyollama(server, "ps").stdout)[1:]
    assert rows[0][3] in ("100% CPU", "100% GPU")
    for row in rows:
        assert pyollama(server, "stop", row[0]).returncode == 0
    assert len(table(pyollama(server, "ps").stdout)) == 1


def test_create_from_a_file_then_copy_and_remove(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes((builtin.FOLDER / "model.gguf").read_bytes())
    (tmp_path / "Recipe").write_text(
        'FROM ./model.gguf\nSYSTEM """Be\nbrief."""\nPARAMETER stop END\nMESSAGE user hi\n'
    )
    created = pyollama(server, "create", "mine", "-f", "Recipe", folder=tmp_path)
    assert (created.returncode, created.stdout) == (0, "")
    assert "success" in created.stderr
    modelfile = pyollama(server, "show", "mine", "--modelfile").stdout
    assert 'SYSTEM "Be\nbrief."' in modelfile
    assert "PARAMETER stop END" in modelfile
    assert "MESSAGE user hi" in modelfile
    assert pyollama(server, "cp", "mine", "yours").stdout == "copied 'mine' to 'yours'\n"
    removed = pyollama(server, "rm", "mine", "yours")
    assert removed.stdout == "deleted 'mine'\ndeleted 'yours'\n"
    assert pyollama(server, "show", "mine").stderr == "Error: model 'mine:latest' not found\n"


def test_a_schema_holds_the_answer(server: Server) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    done = pyollama(server, "run", "builtin", "--format", json.dumps(schema), "Count to three.")
    assert isinstance(json.loads(done.stdout)["n"], int)


def test_bench_measures_what_it_shows(server: Server) -> None:
    few = ["--rounds", "1", "--streams", "2", "--prompt", "40", "--tokens", "8"]
    done = pyollama(server, "bench", "builtin", *few, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    measured = json.loads(done.stdout)
    assert measured["model"] == "builtin"
    assert {"prompt", "prompt_first_token", "streams", "load"} <= measured["figures"].keys()
    assert all(figure["median"] > 0 for figure in measured["figures"].values())
    shown = pyollama(server, "bench", *few)  # the model that is in memory
    assert "builtin:latest" in shown.stdout
    assert re.search(r"^ *2 streams, all together +[\d.,]+ tokens/s", shown.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "accepts 1 arg(s), received 0"),
        (["rm"], "requires at least 1 arg(s), only received 0"),
        (["nope"], 'unknown command "nope" for "pyollama"'),
        (["list", "--foo"], "unknown flag: --foo"),
        (["list", "-z"], "unknown shorthand flag: 'z' in -z"),
        (["stop", "nope"], 'couldn\'t find model "nope" to stop'),
        (["run", "--think", "builtin", "x"], "400 Bad Request: "),
        (["run", "--keepalive", "soon", "builtin", "x"], "--keepalive: "),
        (["create", "x", "-f", "missing"], "no Modelfile at missing"),
        (["rm", "builtin"], ""),
        (["bench", "nope"], "404 Not Found: "),
        (["bench", "builtin", "--streams", "0"], "Invalid value for '--streams'"),
    ],
)
def test_errors_are_one_line_and_status_1(
    server: Server, arguments: list[str], message: str
) -> None:
    done = pyollama(server, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert "Traceback" not in done.stderr


def test_run_starts_a_server_where_none_listens(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = clean_environment(tmp_path) | {"OLLAMA_HOST": address}
    done = subprocess.run(
        [sys.executable, "-m", "pyollama", "run", "builtin", "Hello!"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    started = re.search(r"started one \(process (\d+)", done.stderr)
    assert started is not None, done.stderr
    try:
        assert done.returncode == 0
        assert done.stdout.strip()
        assert httpx.get(f"http://{address}/").text == "Ollama is running"
    finally:
        subprocess.run(["kill", started[1]], check=True)


def test_other_commands_say_that_no_server_listens(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path) | {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [sys.executable, "-m", "pyollama", "list"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run 'pyollama serve' to start it" in done.stderr
