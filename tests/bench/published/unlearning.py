"""The published unlearning of a classifier's head, without dropout: every epoch encodes every row anew, in padded batches."""

import torch

from .attention import PADDED
from .rows import Rows
from .trial import Clock


class AdamW:
    """`transformers.AdamW`, which the published code uses: ε stands outside of the bias correction."""

    def __init__(self, weights, eps=1e-8, betas=(0.9, 0.999)):
        self.weights, self.eps, self.betas, self.steps = weights, eps, betas, 0
        self.means = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @torch.no_grad()
    def step(self, rate):
        self.steps += 1
        first, second = self.betas
        correction = (1 - second**self.steps) ** 0.5 / (1 - first**self.steps)
        for name, weight in self.weights.items():
            mean = self.means[name].mul_(first).add_(weight.grad, alpha=1 - first)
            square = self.squares[name].mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
            weight.addcdiv_(mean, square.sqrt().add_(self.eps), value=-rate * correction)
            weight.grad = None


class Unlearning:
    def __init__(self, model, problem):
        self.model = model
        self.rows = Rows.plain(problem["rows"], problem["max_len"], model.pad)
        self.labels = torch.tensor(problem["labels"])

    def about(self):
        return {loop: f"attention {form}" for loop, form in PADDED.items()}

    def batch(self, rows):
        return Rows.plain([self.rows.stamped[k][0] for k in rows], self.rows.max_len, self.model.pad).padded(len(rows))[0][1]

    def train(self, batches, rates, clip, loop):
        """Follows batches of row indexes with a learning rate each. Answers the head's new weights, and the time of all steps."""
        with Clock() as clock:
            head = {name: weight.clone().requires_grad_() for name, weight in self.model.head.items()}
            optimiser = AdamW(head)
            for rows, rate in zip(batches, rates):
                batch = self.batch(rows)
                with torch.no_grad():
                    features = self.model.features(batch.ids, batch.mask, PADDED[loop])
                logits = self.model.logits(features, head)
                labels = self.labels[rows]
                if logits.shape[-1] == 1:
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
                else:
                    loss = torch.nn.functional.cross_entropy(logits, labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(head.values(), clip)
                optimiser.step(rate)
        return {"time": clock.time(), "weights": {name: weight.flatten().tolist() for name, weight in head.items()}}
