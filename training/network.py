"""The network: a decoder in the shape llama.cpp calls ``qwen2``.

Parameters are one flat dictionary whose keys are the tensor names of the GGUF file and whose
matrices are stored (outputs, inputs), so that exporting is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

Params = dict[str, jax.Array]


@dataclass(frozen=True, slots=True)
class Shape:
    """Hyper-parameters. ``embedding`` is a multiple of 256 so that K-quants fit too."""

    vocabulary: int = 2048
    context: int = 2048
    embedding: int = 256
    feed_forward: int = 512
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    rope_base: float = 10_000.0
    epsilon: float = 1e-6

    @property
    def head_size(self) -> int:
        return self.embedding // self.heads


def initial(key: jax.Array, shape: Shape) -> Params:
    """Random weights; what writes into the residual stream starts smaller the deeper the net."""
    width, hidden = shape.embedding, shape.feed_forward
    kv_width = shape.kv_heads * shape.head_size
    damping = (2 * shape.layers) ** -0.5
    keys = iter(jax.random.split(key, 1 + 7 * shape.layers))

    def matrix(outputs: int, inputs: int, scale: float = 1.0) -> jax.Array:
        spread = scale * inputs**-0.5
        return jnp.asarray(jax.random.normal(next(keys), (outputs, inputs)) * spread)

    params = {
        "token_embd.weight": jax.random.normal(next(keys), (shape.vocabulary, width)) * 0.05,
        "output_norm.weight": jnp.ones(width),
    }
    for layer in range(shape.layers):
        params |= {
            f"blk.{layer}.{name}": value
            for name, value in {
                "attn_norm.weight": jnp.ones(width),
                "attn_q.weight": matrix(width, width),
                "attn_q.bias": jnp.zeros(width),
                "attn_k.weight": matrix(kv_width, width),
                "attn_k.bias": jnp.zeros(kv_width),
                "attn_v.weight": matrix(kv_width, width),
                "attn_v.bias": jnp.zeros(kv_width),
                "attn_output.weight": matrix(width, width, damping),
                "ffn_norm.weight": jnp.ones(width),
                "ffn_gate.weight": matrix(hidden, width),
                "ffn_up.weight": matrix(hidden, width),
                "ffn_down.weight": matrix(width, hidden, damping),
            }.items()
        }
    return params


def _normalise(x: jax.Array, gain: jax.Array, epsilon: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon) * gain


def _rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    first, second = jnp.split(x, 2, -1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def _attend(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array, shape: Shape) -> jax.Array:
    """Grouped-query attention; q is (batch, time, heads, size), bias (batch, time, time)."""
    batch, time = q.shape[:2]
    group = shape.heads // shape.kv_heads
    q = q.reshape(batch, time, shape.kv_heads, group, shape.head_size)
    scores = jnp.einsum("btkgd,bskd->bkgts", q, k) + bias[:, None, None]
    mixed = jnp.einsum("bkgts,bskd->btkgd", jax.nn.softmax(scores, -1), v)
    return mixed.reshape(batch, time, shape.embedding)


def logits(
    params: Params, tokens: jax.Array, positions: jax.Array, segments: jax.Array, shape: Shape
) -> jax.Array:
    """Next-token scores. A token attends to earlier tokens of its own segment only."""
    batch, time = tokens.shape
    size = shape.head_size
    frequency = shape.rope_base ** (-jnp.arange(0, size, 2) / size)
    angle = positions[..., None] * frequency
    cos, sin = jnp.cos(angle)[:, :, None], jnp.sin(angle)[:, :, None]
    visible = (segments[:, :, None] == segments[:, None, :]) & jnp.tril(
        jnp.ones((time, time), bool)
    )
    bias = jnp.where(visible, 0.0, -1e9)

    x = params["token_embd.weight"][tokens]
    for layer in range(shape.layers):
        p = {
            name.split(".", 2)[2]: value
            for name, value in params.items()
            if name.startswith(f"blk.{layer}.")
        }
        h = _normalise(x, p["attn_norm.weight"], shape.epsilon)
        q = (h @ p["attn_q.weight"].T + p["attn_q.bias"]).reshape(batch, time, -1, size)
        k = (h @ p["attn_k.weight"].T + p["attn_k.bias"]).reshape(batch, time, -1, size)
        v = (h @ p["attn_v.weight"].T + p["attn_v.bias"]).reshape(batch, time, -1, size)
        q = _rotate(q, cos, sin) * size**-0.5
        x = x + _attend(q, _rotate(k, cos, sin), v, bias, shape) @ p["attn_output.weight"].T
        h = _normalise(x, p["ffn_norm.weight"], shape.epsilon)
        gate = jax.nn.silu(h @ p["ffn_gate.weight"].T)
        x = x + (gate * (h @ p["ffn_up.weight"].T)) @ p["ffn_down.weight"].T
    x = _normalise(x, params["output_norm.weight"], shape.epsilon)
    return x @ params["token_embd.weight"].T


def loss(
    params: Params,
    tokens: jax.Array,
    positions: jax.Array,
    segments: jax.Array,
    weights: jax.Array,
    shape: Shape,
) -> jax.Array:
    """Mean cross-entropy in nats; ``weights[b, t]`` counts token t as something to predict."""
    scores = logits(params, tokens[:, :-1], positions[:, :-1], segments[:, :-1], shape)
    right = jnp.take_along_axis(scores, tokens[:, 1:, None], -1)[..., 0]
    surprise = jax.nn.logsumexp(scores, -1) - right
    return jnp.sum(surprise * weights[:, 1:]) / jnp.maximum(jnp.sum(weights[:, 1:]), 1.0)
