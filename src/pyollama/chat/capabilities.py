"""What a model can do, as the API lists it."""

from __future__ import annotations

from collections.abc import Mapping

from pyollama.chat.choice import (
    Renderer,
    choose,
    go_features,
    jinja_features,
    parser_name,
    readable_template,
)
from pyollama.chat.facts import ModelFacts
from pyollama.chat.parsers import PARSERS

_GO_ORDER = ("tools", "insert", "thinking")
_JINJA_ORDER = ("tools", "thinking")


def capabilities(
    facts: ModelFacts, *, prefer_go: bool | None = None, look_into_jinja: bool = True
) -> tuple[str, ...]:
    """In the order Ollama lists them.

    ``look_into_jinja=False`` is for ``/api/tags``, which does not judge the weights' own template.
    """
    template = readable_template(facts)
    renderer = choose(facts, template, prefer_go)
    found = list(facts.capabilities)
    if renderer is Renderer.JINJA and look_into_jinja:
        features = jinja_features(facts.jinja)
        found += [name for name in _JINJA_ORDER if name in features]
    found += _of_weights(facts)
    if renderer in (Renderer.GO, Renderer.RENDERER) and template is not None:
        features = go_features(template)
        found += [name for name in _GO_ORDER if name in features]
    if parser := PARSERS.get(parser_name(facts, template)):
        found += ["tools"] * parser.tools + ["thinking"] * parser.thinking
    if facts.is_gptoss:
        found.append("thinking")
    if facts.architecture == "nemotron_h_omni":
        found = [name for name in found if name != "audio"]
    return tuple(dict.fromkeys(found))


def _of_weights(facts: ModelFacts) -> list[str]:
    metadata, architecture = facts.metadata, facts.architecture
    embeds = f"{architecture}.pooling_type" in metadata
    found = ["embedding" if embeds else "completion"]
    if _count(metadata, f"{architecture}.vision.block_count") or facts.projectors:
        found.append("vision")
    if _count(metadata, f"{architecture}.audio.block_count") or any(map(_hears, facts.projectors)):
        found.append("audio")
    return found


def _count(metadata: Mapping[str, object], key: str) -> int:
    value = metadata.get(key)
    return value if isinstance(value, int) else 0


def _hears(projector: Mapping[str, object]) -> bool:
    kind = projector.get("clip.audio.projector_type", projector.get("clip.projector_type"))
    return projector.get("clip.has_audio_encoder") is True and kind != "gemma3nv"
