"""GPT-BigCode (StarCoder) as transformers computes it in evaluation mode. Its answer is that of the token before the first padding."""

import torch
import torch.nn.functional as F

from .attention import attend, join, split


class GptBigCode:
    def __init__(self, config, weights, prefix):
        self.config, self.prefix = config, f"{prefix}transformer."
        self.w = weights
        pad = config.get("pad_token_id")
        self.pad = config["eos_token_id"] if pad is None else pad
        self.table = weights[f"{self.prefix}wte.weight"]

    def states(self, words, form):
        # No token sees a later one, and what is read stands before the padding: a mask would change nothing but the time.
        x = words + self.w[f"{self.prefix}wpe.weight"][: words.shape[1]]
        for layer in range(self.config["n_layer"]):
            at = f"{self.prefix}h.{layer}."
            x = x + self.attention(at, self.norm(f"{at}ln_1", x), form)
            inner = F.gelu(self.dense(f"{at}mlp.c_fc", self.norm(f"{at}ln_2", x)), approximate="tanh")
            x = x + self.dense(f"{at}mlp.c_proj", inner)
        return self.norm(f"{self.prefix}ln_f", x)

    def attention(self, at, x, form):
        heads, size = self.config["n_head"], self.config["n_embd"] // self.config["n_head"]
        mixed = self.dense(f"{at}attn.c_attn", x)
        if self.config.get("multi_query", True):
            q, k, v = mixed.split((heads * size, size, size), -1)
            q, k, v = split(q, heads), k[:, None], v[:, None]
        else:
            q, k, v = split(mixed, heads).split((size, size, size), -1)
        seen = join(attend(q, k, v, form=form, scale=size**-0.5, causal=True))
        return self.dense(f"{at}attn.c_proj", seen)

    def dense(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name, x):
        eps = self.config.get("layer_norm_epsilon", 1e-5)
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def vectors(self, words, ids, mask, form):
        """The state before the first padding [B, h]; of a row without padding the last one."""
        last = (ids == self.pad).int().argmax(-1) - 1
        return self.states(words, form)[torch.arange(len(ids)), last]
