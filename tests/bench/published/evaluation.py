"""Logits of rows as they are, in padded batches: the published evaluator."""

import torch

from .attention import PADDED
from .rows import Rows
from .trial import Clock


class Evaluation:
    def __init__(self, model, problem):
        self.model, self.size = model, problem["batch_size"]
        self.rows = Rows.plain(problem["rows"], problem["max_len"], model.pad)

    def about(self):
        return {loop: f"attention {form}" for loop, form in PADDED.items()}

    @torch.inference_mode()
    def predict(self, loop):
        with Clock() as clock:
            parts = [
                self.model.logits(self.model.features(batch.ids, batch.mask, PADDED[loop]))
                for _, batch in self.rows.padded(self.size)
            ]
        return {"time": clock.time(), "logits": torch.cat(parts).tolist()}
