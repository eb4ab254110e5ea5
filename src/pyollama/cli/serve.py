"""``pyollama serve``"""

from __future__ import annotations

import click

from pyollama.cli.main import Command

_VARIABLES = """Environment Variables:
  OLLAMA_HOST               Address to listen on (default 127.0.0.1:11434)
  OLLAMA_MODELS             Folder of the model store (default ~/.ollama/models)
  OLLAMA_KEEP_ALIVE         How long models stay in memory (default 5m)
  OLLAMA_CONTEXT_LENGTH     Context length unless the model or request sets one
  OLLAMA_NUM_PARALLEL       Requests a model answers at the same time
  OLLAMA_MAX_LOADED_MODELS  Models in memory at the same time
  OLLAMA_MAX_QUEUE          Requests that may wait before new ones are refused
  OLLAMA_LOAD_TIMEOUT       How long a load may stall (default 5m)
  OLLAMA_FLASH_ATTENTION    Force flash attention on or off
  OLLAMA_KV_CACHE_TYPE      Type of the KV cache (default f16)
  OLLAMA_ORIGINS            Further origins that may call from a browser
  OLLAMA_NOPRUNE            Keep blobs that no model uses
  OLLAMA_DEBUG              1: debug messages, 2: all messages
  PYOLLAMA_DEBUG            The same; also says what of each prompt was cached, and why not more
  PYOLLAMA_BUILTIN          0 hides the built-in model
  PYOLLAMA_ALIASES          Further names of models: gpt-4o=qwen3:8b,NAME=MODEL
  PYOLLAMA_FILES            1: all callers may use GGUF files by their path, 0: nobody may
                            (default: programs on this machine)
  PYOLLAMA_PRIVATE_REGISTRIES
                            Registries that may have private addresses: HOST[:PORT],HOST[:PORT]
  PYOLLAMA_REGISTRY_MIRRORS
                            Places to ask before a registry: HOST=URL,HOST=URL
  HTTPS_PROXY, NO_PROXY     Proxy for transfers from and to registries, and exceptions
  PYOLLAMA_PREFIX_RAM       Memory for prompts that left the KV cache, per model (default: a part)
  PYOLLAMA_PREFIX_DISK      Disk for them, so that they outlive a restart (default 0: none)
  PYOLLAMA_PREFIX_DIR       Folder on that disk (default ~/.cache/pyollama/prefixes)
"""


@click.command("serve", cls=Command, epilog=_VARIABLES)
def command() -> None:
    """Start the server"""
    from pyollama.compose import serve
    from pyollama.config import Settings

    serve(Settings.load())
