"""Loading a draft model beside the model it drafts for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from pyollama.engine.speculation.model_drafter import ModelDrafter
from pyollama.errors import PyollamaError

if TYPE_CHECKING:
    from pyollama.engine.native_backend import NativeBackend
    from pyollama.engine.spec import LoadSpec

log = logging.getLogger(__name__)

MOST_PADDING = 128
"""Vocabularies of one family may be padded to lengths that differ by so many tokens."""


def drafter_for(spec: LoadSpec, backend: NativeBackend) -> ModelDrafter[Any] | None:
    """The draft model that ``spec`` names, if it can be used; otherwise the log says why not."""
    if not spec.draft_path or spec.embeddings:
        return None
    if not backend.limits.can_undo:
        log.warning("no draft model: the memory of %s cannot be cut", spec.path)
        return None
    try:
        draft = type(backend)(_alone(spec))
    except PyollamaError as error:
        log.warning("no draft model: %s cannot be loaded: %s", spec.draft_path, error)
        return None
    problem = _unfit(draft, backend)
    if problem:
        log.warning("no draft model: %s %s", spec.draft_path, problem)
        draft.close()
        return None
    return ModelDrafter(draft)


def _alone(spec: LoadSpec) -> LoadSpec:
    """Only the running requests, nothing retired."""
    return msgspec.structs.replace(
        spec,
        path=spec.draft_path,
        draft_path="",
        adapters=(),
        n_cells=0,
        n_sequences=spec.n_slots,
        prefix_ram=0,
        prefix_disk=0,
    )


def _unfit(draft: NativeBackend, backend: NativeBackend) -> str:
    if not draft.limits.can_undo:
        return "has a memory that cannot be cut"
    if draft.info.n_ctx_train and draft.info.n_ctx_train < backend.info.n_ctx:
        return f"was trained for {draft.info.n_ctx_train} tokens only"
    sizes = draft.info.n_vocab, backend.info.n_vocab
    if abs(sizes[0] - sizes[1]) > MOST_PADDING:
        return f"has {sizes[0]} tokens, the model {sizes[1]}"
    for token in range(min(sizes)):
        if draft.piece(token, special=True) != backend.piece(token, special=True):
            return f"has another vocabulary: token {token} differs"
    return ""
