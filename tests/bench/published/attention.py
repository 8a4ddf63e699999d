"""Attention in two forms: as transformers 4.33, which the published code pins, writes it out; and PyTorch's fused operator."""

import torch
import torch.nn.functional as F

FORMS = ("written out", "SDPA")
PADDED = {"published": "written out", "SDPA": "SDPA"}  # of the loops over padded batches, by their names


def attend(q, k, v, *, form, scale, bias=None, causal=False):
    """
    q [B, heads, T, d], k and v [B, heads or 1, S, d] to [B, heads, T, d].

    bias: added to the scores, broadcast to [B, heads, T, S]. causal: a token sees none after it; not together with a bias.
    """
    if form == "SDPA":
        heads = q.shape[1]
        k, v = k.expand(-1, heads, -1, -1), v.expand(-1, heads, -1, -1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal, scale=scale)
    scores = q @ k.transpose(-1, -2)
    if scale != 1:
        scores = scores * scale
    if bias is not None:
        scores = scores + bias
    if causal:
        scores = scores + future(q.shape[2])
    return torch.softmax(scores, -1) @ v


def future(length):
    """[T, T]: the lowest float where the column comes after the row."""
    return torch.full((length, length), torch.finfo(torch.float32).min).triu(1)


def padding(mask):
    """Of a mask [B, T] (true: a token): what is added to scores, [B, 1, 1, T]."""
    return torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None, None, :]


def split(x, heads):
    """[B, T, heads × d] to [B, heads, T, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join(x):
    return x.transpose(1, 2).flatten(2)
