"""A model whose weights spell out what it says, to see whether requests are kept apart.

A prompt holds one cue, anywhere in it: ``<ask-17>``. The answer is ``<17.0><17.1>`` and so on to
the end of that script, then the end of text. Every token of it has to find the cue again by
attention, across the whole prompt, because it does not carry the script's number itself: one cell
of another request in the wrong place and another script shows. The margins are so wide that neither
temperature nor the shape of a batch changes an answer.

One block, one head, no feed-forward. The residual stream has these parts:

* which script (written by the cue, and copied by the head to every later token),
* how far in the script (written by its tokens; "not begun" by all others),
* a flag that marks the cue, which is what the head looks for,
* a constant, and a balance that makes all tokens of one length, so that the norm is a constant.
"""

from __future__ import annotations

import math
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

N_SCRIPTS = 200
N_STEPS = 12
_WIDTH = 256
_STEP, _FLAG, _CONSTANT, _BALANCE = N_SCRIPTS, N_SCRIPTS + N_STEPS + 1, 214, 215
_CONTEXT = 8192
_ROPE_BASE = 1e9
"""So great that the last pair of a head hardly turns: its first element is the one used."""

_UNTURNED = _WIDTH - 2
_SHARPNESS = 64.0
"""How much more the head scores the cue than any other token, in nats."""

_MARGIN = 28.0
"""How much more likely the right token is than one of another script or another step, in nats."""

Matrix = NDArray[np.float32]


def cue(script: int) -> str:
    return f"<ask-{script}>"


def step(script: int, number: int) -> str:
    return f"<{script}.{number}>"


def answer(script: int, n_tokens: int = N_STEPS) -> str:
    """What the model says behind ``cue(script)``, cut after ``n_tokens``."""
    return "".join(step(script, number) for number in range(min(n_tokens, N_STEPS)))


def write(path: Path) -> None:
    """A GGUF file of about 2.5 MB."""
    tokens, kinds = _vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("canary")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(_WIDTH)
    writer.add_rope_freq_base(_ROPE_BASE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])  # there has to be one; without a token "th" it does nothing
    writer.add_eos_token_id(256)
    writer.add_add_bos_token(False)
    for name, tensor in _tensors().items():
        writer.add_tensor(name, tensor.astype(np.float16) if tensor.ndim == 2 else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> tuple[list[str], list[int]]:
    """The 256 bytes, the end of text, the cues, the steps of all scripts."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    tokens = [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]
    own = [cue(script) for script in range(N_SCRIPTS)]
    own += [step(script, number) for script in range(N_SCRIPTS) for number in range(N_STEPS)]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.USER_DEFINED] * len(own)
    return [*tokens, "<end>", *own], [int(kind) for kind in kinds]


def _tensors() -> dict[str, Matrix]:
    ones = np.ones(_WIDTH, np.float32)
    length = math.sqrt(4.0)  # of every embedding
    scale = math.sqrt(_WIDTH) / length  # what the norm makes of a 1
    look = math.sqrt(_SHARPNESS * math.sqrt(_WIDTH)) / scale
    query, key, value, output = (np.zeros((_WIDTH, _WIDTH), np.float32) for _ in range(4))
    query[_UNTURNED, _CONSTANT] = look
    key[_UNTURNED, _FLAG] = look
    scripts = np.arange(N_SCRIPTS)
    value[scripts, scripts] = 1 / scale
    output[scripts, scripts] = 1
    return {
        "token_embd.weight": _embeddings(),
        "output.weight": _answers(math.sqrt(_WIDTH) / math.sqrt(length**2 + 1)),
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        "blk.0.attn_q.weight": query,
        "blk.0.attn_k.weight": key,
        "blk.0.attn_v.weight": value,
        "blk.0.attn_output.weight": output,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": np.zeros((32, _WIDTH), np.float32),
        "blk.0.ffn_up.weight": np.zeros((32, _WIDTH), np.float32),
        "blk.0.ffn_down.weight": np.zeros((_WIDTH, 32), np.float32),
    }


def _embeddings() -> Matrix:
    rows = np.zeros((257 + N_SCRIPTS * (1 + N_STEPS), _WIDTH), np.float32)
    rows[:, _CONSTANT] = 1
    rows[:, _STEP] = 1
    rows[:, _BALANCE] = math.sqrt(2)
    for script in range(N_SCRIPTS):
        mark = rows[257 + script]
        mark[script], mark[_FLAG], mark[_BALANCE] = 1, 1, 0
    steps = rows[257 + N_SCRIPTS :].reshape(N_SCRIPTS, N_STEPS, _WIDTH)
    steps[:, :, _STEP] = 0
    for number in range(N_STEPS):
        steps[:, number, _STEP + 1 + number] = 1
    return rows


def _answers(scale: float) -> Matrix:
    """Each step is twice as likely, in nats, where both script and step are right; ``scale`` is
    what the norm makes of a 1 behind the block."""
    weight = _MARGIN / scale
    rows = np.zeros((257 + N_SCRIPTS * (1 + N_STEPS), _WIDTH), np.float32)
    steps = rows[257 + N_SCRIPTS :].reshape(N_SCRIPTS, N_STEPS, _WIDTH)
    for script in range(N_SCRIPTS):
        steps[script, :, script] = weight
    for number in range(N_STEPS):
        steps[:, number, _STEP + number] = weight
    rows[256, _STEP + N_STEPS] = 2 * weight
    return rows
