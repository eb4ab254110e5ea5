"""What our own routes answer, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import get_args

from pyollama import __version__
from pyollama.server.callers import FILE, PRIORITY, USAGE
from pyollama.server.ollama.frames import truncated
from pyollama.server.streaming import encode_json
from pyollama.service.active import ActiveRequest
from pyollama.service.answer import ReadyPrompt
from pyollama.service.options import OPTION_NAMES
from pyollama.service.prompts import TextTokens
from pyollama.service.scoring import Ranking, TextScore
from pyollama.types import JSON, Priority


def tokens(model: str, found: TextTokens) -> bytes:
    document: JSON = {"model": model, "tokens": found.ids, "pieces": found.pieces}
    return encode_json(document | {"count": len(found.ids)})


def text(model: str, found: str) -> bytes:
    return encode_json({"model": model, "text": found})


def count(model: str, ready: ReadyPrompt) -> bytes:
    return encode_json({"model": model} | _counted(ready))


def prompt(model: str, ready: ReadyPrompt) -> bytes:
    return encode_json({"model": model, "prompt": ready.fitted.prompt.text} | _counted(ready))


def score(model: str, found: TextScore) -> bytes:
    known = [logprob for logprob in found.logprobs if logprob is not None]
    total = math.fsum(known)
    return encode_json(
        {
            "model": model,
            "logprob": total,
            "perplexity": math.exp(min(-total / len(known), 700)) if known else None,
            "tokens": [
                {"id": token, "token": piece, "logprob": logprob}
                for token, piece, logprob in zip(
                    found.tokens, found.pieces, found.logprobs, strict=True
                )
            ],
            "prompt_eval_count": found.usage.prompt_tokens,
        }
    )


def ranking(model: str, found: Ranking, top_n: int) -> bytes:
    """The best first; all of them unless ``top_n`` is above 0."""
    ranked = sorted(enumerate(found.scores), key=lambda pair: -pair[1])
    results = [{"index": index, "relevance_score": score} for index, score in ranked]
    return encode_json(
        {
            "model": model,
            "results": results[: top_n if top_n > 0 else None],
            "prompt_eval_count": found.prompt_tokens,
        }
    )


def requests(active: Iterable[ActiveRequest]) -> bytes:
    return encode_json({"requests": [_request(each) for each in active]})


def capabilities(endpoints: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """What programs may rely on; ``endpoints`` are paths and their methods."""
    return encode_json(
        {
            "version": __version__,
            "endpoints": [
                {"path": path, "methods": sorted(methods)} for path, methods in endpoints
            ],
            "options": OPTION_NAMES,
            "headers": [FILE, PRIORITY, USAGE],
            "priorities": get_args(Priority),
        }
    )


def _counted(ready: ReadyPrompt) -> JSON:
    fitted = ready.fitted
    document: JSON = {"count": len(fitted.tokens), "context_length": ready.n_ctx}
    if fitted.truncated:
        document["truncated"] = truncated(fitted.truncated)
    return document


def _request(active: ActiveRequest) -> JSON:
    started = datetime.fromtimestamp(active.started, UTC)
    return {
        "id": active.id,
        "kind": active.kind,
        "model": active.asked.model,
        "state": active.state,
        "priority": active.asked.priority,
        "started_at": started.isoformat().replace("+00:00", "Z"),
        "pieces": active.pieces,
    }
