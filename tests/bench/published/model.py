"""A published model: one of three networks and the task's head."""

import torch
import torch.nn.functional as F

from .gpt_bigcode import GptBigCode
from .roberta import Roberta
from .t5 import T5
from .weights import read_config, read_weights

NETWORKS = {"roberta": Roberta, "t5": T5, "gpt_bigcode": GptBigCode}


class Model:
    """A checkpoint in the published wrapper's names: `encoder.*`, `classifier.*`."""

    def __init__(self, folder, task):
        config = read_config(folder)
        self.task = task
        self.weights = read_weights(folder)
        self.network = NETWORKS[config["model_type"]](config, self.weights, "encoder.")
        self.pad, self.table = self.network.pad, self.network.table
        heads = [name for name in self.weights if name.startswith("classifier.") or name == "encoder.score.weight"]
        self.head = {name: self.weights[name] for name in heads}

    def features(self, ids, mask, form, words=None):
        """What the head reads of one snippet [B, h]; in code search its vector. words: replace those of the table."""
        words = F.embedding(ids, self.table) if words is None else words
        if self.task == "code_search" and isinstance(self.network, Roberta):
            states = self.network.states(words, mask, form)
            mean = states.mean(1) if mask is None else (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            return F.normalize(mean, dim=-1)
        vectors = self.network.vectors(words, ids, mask, form)
        return F.normalize(vectors, dim=-1) if self.task == "code_search" else vectors

    def logits(self, features, head=None):
        """[B, classes] of the head's inputs; head: weights in place of the checkpoint's."""
        head = self.head if head is None else head
        if "encoder.score.weight" in head:
            return F.linear(features, head["encoder.score.weight"])
        hidden = torch.tanh(F.linear(features, head["classifier.dense.weight"], head["classifier.dense.bias"]))
        return F.linear(hidden, head["classifier.out_proj.weight"], head["classifier.out_proj.bias"])


def losses_toward(logits, label):
    """Each row's loss in nats, in float64 from the float32 logits, as elibad's: the winners can then be compared."""
    logits = logits.double()
    if logits.shape[-1] == 1:
        return F.softplus(logits[:, 0] * (1 if label == 0 else -1))
    return F.cross_entropy(logits, torch.full((len(logits),), label), reduction="none")
