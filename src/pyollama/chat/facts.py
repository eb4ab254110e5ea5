"""What the text side needs to know about a stored model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``template`` is the model's Go template, ``jinja`` the one inside its weights.

    ``name`` is the bare name of the model, without host, namespace and tag. ``size`` is its number
    of parameters as people write it, "8.0B" or "137.02M".

    ``capabilities`` are those its config lists, ``metadata`` is that of the weights.
    ``projectors`` holds the metadata of each projector file.
    """

    family: str = ""
    name: str = ""
    tag: str = ""
    size: str = ""
    template: str | None = None
    jinja: str = ""
    renderer: str = ""
    parser: str = ""
    capabilities: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    projectors: tuple[Mapping[str, object], ...] = ()

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def forgets_thinking(self) -> bool:
        """Whether earlier answers are shown without the thinking in their text."""
        return self.family == "qwen3" or self.name == "deepseek-r1"

    @property
    def is_gptoss(self) -> bool:
        return self.family in ("gptoss", "gpt-oss")
