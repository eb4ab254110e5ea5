"""What Ollama's listing and embedding routes answer, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pyollama.server.ollama.frames import truncated
from pyollama.server.streaming import encode_json
from pyollama.service.embed import Embeddings
from pyollama.service.models import ListedModel, RunningModel, ShownModel
from pyollama.types import JSON

#: When a model that stays for ever expires: a date every client can read.
FOREVER = timedelta(days=365 * 290)


def tags(models: Iterable[ListedModel]) -> bytes:
    return encode_json({"models": [_tag(listed) for listed in models]})


def running(models: Iterable[RunningModel]) -> bytes:
    return encode_json({"models": [_running(entry) for entry in models]})


def details(shown: ShownModel, *, basename: str = "") -> bytes:
    """``basename`` takes the place of the weights' own."""
    model = shown.model
    named = {"general.basename": basename} if basename else {}
    config = model.config
    document: JSON = {
        "license": "\n".join(model.licenses),
        "modelfile": shown.modelfile,
        "parameters": shown.parameters,
        "template": shown.template,
        "system": shown.system,
        "renderer": config.renderer,
        "parser": config.parser,
        "details": _details(shown, lengths=False),
        "messages": [{"role": item.role, "content": item.content} for item in model.messages],
        "remote_model": config.remote_model,
        "remote_host": config.remote_host,
        "model_info": shown.info.metadata | named,
        "projector_info": shown.projector.metadata if shown.projector else None,
        "tensors": shown.info.tensors,
        "capabilities": shown.capabilities,
        "modified_at": local_time(model.modified_at),
        "requires": config.requires,
        "context_length": shown.context_length,
    }
    return encode_json(_without_empty(document, keep=("details", "model_info", "modified_at")))


def embeddings(model: str, result: Embeddings) -> bytes:
    timing: JSON = {
        "total_duration": result.total_duration,
        "load_duration": result.load_duration,
        "prompt_eval_count": result.prompt_tokens,
        "truncated": truncated(result.truncated) if result.truncated else None,
    }
    head: JSON = {"model": model, "embeddings": result.vectors.tolist()}
    return encode_json(head | _without_empty(timing))


def old_embedding(result: Embeddings) -> bytes:
    vectors = result.vectors.tolist()
    return encode_json({"embedding": vectors[0] if vectors else []})


def local_time(moment: datetime) -> str:
    """RFC 3339 in the zone of this machine; ``Z`` where that is UTC."""
    text = moment.astimezone().isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _tag(listed: ListedModel) -> JSON:
    model = listed.model
    document: JSON = {
        "name": model.name.short,
        "model": model.name.short,
        "remote_model": model.config.remote_model,
        "remote_host": model.config.remote_host,
        "modified_at": local_time(model.modified_at),
        "size": model.size,
        "digest": model.digest,
        "details": _details(listed, lengths=True),
        "capabilities": listed.capabilities,
    }
    return _without_empty(document, keep=("size",))


def _running(entry: RunningModel) -> JSON:
    model = entry.model
    return {
        "name": model.label,
        "model": model.label,
        "size": entry.size,
        "digest": model.digest,
        "details": _details(entry, lengths=False) | {"parent_model": ""},
        "expires_at": local_time(entry.expires_at or datetime.now(UTC) + FOREVER),
        "size_vram": entry.size_vram,
        "context_length": entry.context_length,
    }


def _details(entry: ListedModel | RunningModel | ShownModel, *, lengths: bool) -> JSON:
    details = entry.model.details
    document: JSON = {
        "parent_model": details.parent_model,
        "format": details.format,
        "family": details.family,
        "families": list(details.families) or None,
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization_level,
    }
    if lengths and details.context_length:
        document["context_length"] = details.context_length
    if lengths and details.embedding_length:
        document["embedding_length"] = details.embedding_length
    return document


def _without_empty(document: JSON, *, keep: tuple[str, ...] = ()) -> JSON:
    return {key: value for key, value in document.items() if value or key in keep}
