"""Install a wheel into an empty environment and let it answer one prompt.

python wheels/smoke_test.py WHEEL

Nothing but the environment is on the PATH: no compiler, no other Python, no checkout.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0
PROMPT = "Tell me a story about a small boat."


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(program: Path, port: int, env: dict[str, str]) -> Iterator[None]:
    server = subprocess.Popen([program, "serve"], env=env, cwd=env["HOME"])
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("smoke test: the server did not start")
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def try_wheel(wheel: Path, home: Path) -> None:
    folder = home / "venv"
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    python = str(programs / "python")
    install = [python, "-m", "pip", "install", "--quiet", str(wheel.resolve())]
    subprocess.run(install, check=True, cwd=home)

    port = free_port()
    env = {"PATH": str(programs), "HOME": str(home), "OLLAMA_HOST": f"127.0.0.1:{port}"}
    env |= {name: value for name in ("LANG", "LD_LIBRARY_PATH") if (value := os.environ.get(name))}

    def output_of(*command: str | Path) -> str:
        done = subprocess.run(
            command, env=env, cwd=home, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()

    facts = (
        "from pyollama import _native; print(_native.__file__, _native.system_info(), sep='\\n')"
    )
    print(output_of(programs / "python", "-c", facts))
    has_converter = (
        "from pathlib import Path; from pyollama import _native;"
        " print((Path(_native.__file__).parent / 'converter/convert_hf_to_gguf.py').is_file())"
    )
    if output_of(programs / "python", "-c", has_converter) != "True":
        raise SystemExit("smoke test: the converter is missing")
    with serving(programs / "pyollama", port, env):
        answer = output_of(programs / "pyollama", "run", "builtin", PROMPT)
    print(answer)
    if len(answer.split()) < 5:
        raise SystemExit("smoke test: that is no answer")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        try_wheel(Path(sys.argv[1]), Path(home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
