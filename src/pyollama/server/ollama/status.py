"""What ``/api/status`` says besides what Ollama does."""

from __future__ import annotations

from pyollama.service.status import ModelStatus, Status
from pyollama.types import JSON


def status(now: Status) -> JSON:
    """Sizes are bytes."""
    hardware = now.hardware
    return {
        "queue": {"loading": now.waiting, "most": now.max_waiting},
        "requests": now.active,
        "models": [_model(entry) for entry in now.models],
        "memory": {"total": hardware.memory_total, "free": hardware.memory_free},
        "devices": [
            {
                "name": gpu.name,
                "integrated": gpu.integrated,
                "memory_total": gpu.memory_total,
                "memory_free": gpu.memory_free,
            }
            for gpu in hardware.gpus
        ],
    }


def _model(entry: ModelStatus) -> JSON:
    info, stats = entry.info, entry.stats
    document: JSON = {
        "name": entry.model.label,
        "digest": entry.model.digest,
        "state": "loaded" if info else "loading",
    }
    if info:
        document |= {
            "context_length": info.n_ctx,
            "slots": info.n_slots,
            "size": info.size,
            "size_vram": info.size_vram,
        }
    if stats:
        document |= {
            "running": stats.running,
            "waiting": stats.waiting,
            "cells": stats.cells,
            "cells_used": stats.cells_used,
            "finished": stats.finished,
            "prompt_tokens": stats.prompt_tokens,
            "cached_tokens": stats.cached_tokens,
            "sampled_tokens": stats.sampled_tokens,
        }
    return document
