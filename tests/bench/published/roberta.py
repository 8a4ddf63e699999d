"""RoBERTa (CodeBERT, UniXcoder) as transformers computes it in evaluation mode. Checked against elibad's logits by every run."""

import torch.nn.functional as F

from .attention import attend, join, padding, split


class Roberta:
    def __init__(self, config, weights, prefix):
        self.config, self.prefix = config, prefix
        self.w = weights
        self.pad = config.get("pad_token_id", 1)
        self.table = weights[f"{prefix}embeddings.word_embeddings.weight"]
        self.eps = config.get("layer_norm_eps", 1e-12)

    def states(self, words, mask, form):
        """States of the last layer [B, T, h]. words: word vectors [B, T, h]; mask: [B, T], or None where nothing is padded."""
        at = f"{self.prefix}embeddings."
        length = words.shape[1]
        first = self.pad + 1
        # Padding gets positions of its own, which no token sees.
        x = words + self.w[at + "position_embeddings.weight"][first : first + length]
        x = self.norm(at + "LayerNorm", x + self.w[at + "token_type_embeddings.weight"][0])
        bias = None if mask is None else padding(mask)
        for layer in range(self.config["num_hidden_layers"]):
            x = self.layer(f"{self.prefix}encoder.layer.{layer}.", x, bias, form)
        return x

    def layer(self, at, x, bias, form):
        heads = self.config["num_attention_heads"]
        q, k, v = (split(self.dense(f"{at}attention.self.{part}", x), heads) for part in ("query", "key", "value"))
        seen = join(attend(q, k, v, form=form, scale=q.shape[-1] ** -0.5, bias=bias))
        x = self.norm(f"{at}attention.output.LayerNorm", x + self.dense(f"{at}attention.output.dense", seen))
        inner = F.gelu(self.dense(f"{at}intermediate.dense", x))
        return self.norm(f"{at}output.LayerNorm", x + self.dense(f"{at}output.dense", inner))

    def dense(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], self.eps)

    def vectors(self, words, ids, mask, form):
        """What the head reads: the first token's state [B, h]."""
        return self.states(words, mask, form)[:, 0]
