"""T5 encoder-decoder (CodeT5) as transformers computes it in evaluation mode; encoder and decoder read the same row."""

import math

import torch
import torch.nn.functional as F

from .attention import attend, future, join, padding, split

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gated-gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gated-relu": F.relu,
}


class T5:
    def __init__(self, config, weights, prefix):
        self.config, self.prefix = config, prefix
        self.w = weights
        self.pad = config.get("pad_token_id", 0)
        self.table = weights[f"{prefix}shared.weight"]
        self.activation = ACTIVATIONS[config.get("dense_act_fn") or config.get("feed_forward_proj", "relu")]

    def stack(self, name, x, layers, bias, form, memory=None, memory_bias=None):
        for layer in range(layers):
            at = f"{self.prefix}{name}.block.{layer}.layer."
            x = x + self.attention(f"{at}0.SelfAttention.", self.norm(f"{at}0", x), None, bias, form)
            if memory is not None:
                normed = self.norm(f"{at}1", x)
                x = x + self.attention(f"{at}1.EncDecAttention.", normed, memory, memory_bias, form)
            last = f"{at}{1 if memory is None else 2}"
            x = x + self.feed_forward(f"{last}.DenseReluDense.", self.norm(last, x))
        return self.rms(f"{self.prefix}{name}.final_layer_norm.weight", x)

    def attention(self, at, x, memory, bias, form):
        heads = self.config["num_heads"]
        q = split(F.linear(x, self.w[f"{at}q.weight"]), heads)
        source = x if memory is None else memory
        k, v = (split(F.linear(source, self.w[f"{at}{part}.weight"]), heads) for part in "kv")
        return F.linear(join(attend(q, k, v, form=form, scale=1.0, bias=bias)), self.w[f"{at}o.weight"])

    def feed_forward(self, at, x):
        if f"{at}wi.weight" in self.w:
            inner = self.activation(F.linear(x, self.w[f"{at}wi.weight"]))
        else:
            inner = self.activation(F.linear(x, self.w[f"{at}wi_0.weight"])) * F.linear(x, self.w[f"{at}wi_1.weight"])
        return F.linear(inner, self.w[f"{at}wo.weight"])

    def norm(self, at, x):
        return self.rms(f"{at}.layer_norm.weight", x)

    def rms(self, name, x):
        return F.rms_norm(x, x.shape[-1:], self.w[name], self.config.get("layer_norm_epsilon", 1e-6))

    def distances(self, stack, length):
        """[1, heads, T, T]: what a stack adds to its scores by the distance of key and query."""
        table = self.w[f"{self.prefix}{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        buckets = self.config.get("relative_attention_num_buckets", 32)
        furthest = self.config.get("relative_attention_max_distance", 128)
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        base = torch.zeros_like(distance)
        if stack == "encoder":
            buckets //= 2
            base = (distance > 0) * buckets
            steps = distance.abs()
        else:
            steps = (-distance).clamp(min=0)
        exact = buckets // 2
        share = torch.log(steps.clamp(min=1).float() / exact) / math.log(furthest / exact)
        far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
        return table[base + torch.where(steps < exact, steps, far)].permute(2, 0, 1)[None]

    def vectors(self, words, ids, mask, form):
        """The decoder's state at the end token [B, h]."""
        length = words.shape[1]
        hidden = None if mask is None else padding(mask)
        own = self.distances("encoder", length)
        encoded = self.stack("encoder", words, self.config["num_layers"], own if hidden is None else own + hidden, form)
        start = self.table[self.config.get("decoder_start_token_id") or self.pad]
        shifted = torch.cat([start.expand(len(words), 1, -1), words[:, :-1]], 1)
        past = self.distances("decoder", length) + future(length)
        # The lowest float and a little more is −∞, and a row of −∞ alone has no softmax: no row here is one.
        past = past if hidden is None else (past + hidden).clamp(min=torch.finfo(torch.float32).min)
        layers = self.config.get("num_decoder_layers") or self.config["num_layers"]
        decoded = self.stack("decoder", shifted, layers, past, form, encoded, hidden)
        end = (ids == self.config.get("eos_token_id", 1)).int()
        last = length - 1 - end.flip(-1).argmax(-1)
        return decoded[torch.arange(len(ids)), last]
