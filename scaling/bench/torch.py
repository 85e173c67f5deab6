"""The same Transformer in PyTorch, eager or compiled, for comparison in `bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scaling.config.run import RunConfig


def torch_step(config: RunConfig, tokens: np.ndarray, compiled: bool = False) -> Callable[[], None] | None:
    """Returns one training step: forward, backward, gradient clipping, fused AdamW.

    It uses the fastest forms of eager PyTorch: one matrix for queries, keys and values, fused causal attention, and a
    fused optimizer. On a GPU it computes in bfloat16, as `scaling` does.

    Args:
        config: The run.
        tokens: The batch, int (B, L + 1).
        compiled: Whether forward and backward pass use torch.compile.

    Returns:
        The step as a function, or None where PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        return None

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = _transformer(config, device).to(device)
    loss_of = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batch = torch.as_tensor(tokens.astype(np.int64), device=device)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = loss_of(batch[:, :-1], batch[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip)
        optimizer.step()
        loss.item()

    return step


def _transformer(config: RunConfig, device: str) -> Any:
    """Returns the model, called with tokens and targets (B, L); it returns the mean loss."""
    import torch.nn.functional as F
    from torch import nn

    shape = config.model
    norm, block = _norm(config), _block(config, device)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(shape.vocab, shape.width)
            self.blocks = nn.ModuleList(block() for _ in range(shape.layers))
            self.norm, self.head = norm(), nn.Linear(shape.width, shape.vocab, bias=False)

        def forward(self, x: Any, y: Any) -> Any:
            x = self.embedding(x)
            for layer in self.blocks:
                x = layer(x)
            return F.cross_entropy(self.head(self.norm(x)).view(-1, shape.vocab), y.reshape(-1))

    return Model()


def _norm(config: RunConfig) -> Any:
    """Returns the class of RMSNorm modules."""
    import torch
    import torch.nn.functional as F

    D = config.model.width

    class Norm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.g = torch.nn.Parameter(torch.ones(D))

        def forward(self, x: Any) -> Any:
            return F.rms_norm(x, (D,), self.g, config.model.norm_eps)

    return Norm


def _block(config: RunConfig, device: str) -> Any:
    """Returns the class of Transformer blocks: rotary attention and a gated MLP."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    shape, length, norm = config.model, config.data.length, _norm(config)
    D, H, h = shape.width, shape.heads, shape.head
    angles = torch.arange(length)[:, None] * shape.rope_base ** (-torch.arange(0, h, 2) / h)[None]
    cos, sin = angles.cos().to(device), angles.sin().to(device)

    def rotate(x: Any) -> Any:
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = norm(), norm()
            self.qkv, self.out = nn.Linear(D, 3 * H * h, bias=False), nn.Linear(H * h, D, bias=False)
            self.gate = nn.Linear(D, shape.mlp_width, bias=False)
            self.up = nn.Linear(D, shape.mlp_width, bias=False)
            self.down = nn.Linear(shape.mlp_width, D, bias=False)

        def forward(self, x: Any) -> Any:
            B, L, _ = x.shape
            q, k, v = (t.view(B, L, H, h).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(H * h, 2))
            y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(B, L, H * h))
            z = self.norm2(x)
            return x + self.down(F.silu(self.gate(z)) * self.up(z))

    return Block
