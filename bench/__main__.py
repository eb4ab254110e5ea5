"""``python -m bench [COMMAND]``: measurements of pyollama and of its neighbours.

Without a command the workloads are played against all servers that are there. ``python -m bench
COMMAND --help`` says what a command can be told.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

# Command -> (module in this package, one line of help). The modules are imported when called.
COMMANDS = {
    "workloads": ("rounds", "workloads against servers in turn"),
    "engine": ("enginespeed", "the engine without HTTP against llama-bench"),
    "choices": ("choices", "layout of the KV cache, micro-batch, threads: what each choice costs"),
    "embedding": ("embedding", "texts to embed: which packs are fastest"),
    "overhead": ("overhead", "what worker and HTTP add to the engine"),
    "load": ("loading", "how long starting and loading take"),
    "idle": ("idle", "processor time and memory of a loaded server without work"),
    "turns": ("turns", "conversations over one long prefix: what is computed again"),
    "gap": ("gap", "streams while a long prompt is computed"),
    "canary": ("canary", "many requests in random mixes: does anything leak"),
    "compare": ("compare", "two reports: has anything become slower"),
    "markdown": ("markdown", "reports as Markdown tables"),
    "plot": ("plots", "pictures of a report"),
}


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_help())
        return
    named = bool(arguments) and arguments[0] in COMMANDS
    name = arguments.pop(0) if named else "workloads"
    # Read by the OpenMP runtime when it is loaded; the server sets the same for its workers.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    module = import_module(f"bench.{COMMANDS[name][0]}")
    parser = argparse.ArgumentParser(prog=f"bench {name}", description=module.__doc__)
    module.add_options(parser)
    sys.exit(module.run(parser.parse_args(arguments)))


def _help() -> str:
    lines = [f"  {name:<10} {text}\n" for name, (_, text) in COMMANDS.items()]
    return f"{__doc__}\ncommands:\n{''.join(lines)}"


if __name__ == "__main__":
    main()
