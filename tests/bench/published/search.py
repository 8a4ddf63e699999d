"""One search step on a classifier, in three forms that differ in speed alone.

published: one candidate at a time, over batches of rows that are padded to the longest row, as the published scanner does, with attention as the
transformers that it pins (4.33) writes it out. It is kinder to PyTorch than that: the gradient is taken at the trigger's vectors and multiplied with the table once, where the scanner keeps a one-hot
matrix in the graph, and nothing is moved to a device.

SDPA: the same loop with PyTorch's fused attention.

batched: all candidates of a row together, without padding; a second snippet once. The strongest use of the plain model: what elibad
gains beside that (the last layer for one token, pruning) is not in it.
"""

import torch

from .attention import FORMS, PADDED
from .model import losses_toward
from .rows import Rows
from .trial import Clock, fastest

BATCH = 10  # batch_size of the published scanner's configuration
TOKENS = 2_000  # of one group of candidates, about, where all of them at once are slower


class Search:
    def __init__(self, model, problem):
        self.model, self.target = model, problem["target"]
        self.vocabulary = torch.tensor(problem["vocabulary"])
        self.topk = problem["topk"]
        max_len, pad = problem["max_len"], model.pad
        self.rows = Rows(
            problem["rows"], problem["insert_indexes"], problem["trigger_len"], max_len, problem["end_id"], pad
        )
        self.batches = self.rows.padded(BATCH)
        second = problem.get("second_rows")
        self.second = None if second is None else Rows.plain(second, max_len, pad)
        self.second_batches = None if second is None else self.second.padded(BATCH)
        self.choose(problem["candidates"])

    def choose(self, candidates):
        """Takes the faster attention for each form of the step, and of the batched one the faster group of candidates."""
        triggers = some_triggers(candidates, len(self.rows.stamped[0][1]), self.vocabulary)
        middle = sorted(range(len(self.rows)), key=lambda k: len(self.rows.stamped[k][0]))[len(self.rows) // 2]

        def one_row(form, group):
            with torch.inference_mode():
                self.row_logits(middle, triggers, form, group)

        few = max(1, round(TOKENS / len(self.rows.stamped[middle][0])))
        groups = {candidates, min(few, candidates)}
        self.batched_form, group = fastest(
            {(form, group): lambda form=form, group=group: one_row(form, group) for form in FORMS for group in groups}
        )
        self.whole = group == candidates
        one = triggers[0]
        self.alone_form = fastest({form: lambda form=form: self.part_gradients(one, form, middle) for form in FORMS})

    def about(self):
        groups = "all candidates of a row at once" if self.whole else f"groups of about {TOKENS} tokens"
        return {
            "published": "attention written out",
            "SDPA": "attention SDPA",
            "batched": f"attention {self.batched_form} (gradient {self.alone_form}), {groups}",
        }

    # --- published ---

    def padded_logits(self, at, trigger, form):
        """Logits of a padded batch with a trigger. Two snippets go through the network as one batch of twice the rows, as published."""
        _, batch = self.batches[at]
        ids, mask = batch.put(trigger), batch.mask
        if self.second is None:
            return self.model.logits(self.model.features(ids, mask, form))
        other = self.second_batches[at][1]
        both = self.model.features(torch.cat([ids, other.ids]), joined(batch, other), form)
        return self.model.logits(torch.cat(both.chunk(2), -1))

    @torch.inference_mode()
    def padded_losses(self, candidates, form):
        losses = torch.zeros(len(candidates), len(self.rows), dtype=torch.float64)
        for c, trigger in enumerate(candidates):
            for at, (rows, _) in enumerate(self.batches):
                losses[c, rows] = losses_toward(self.padded_logits(at, trigger, form), self.target)
        return losses

    def padded_loss(self, at, vectors, form):
        _, batch = self.batches[at]
        words = batch.words(self.model.table, vectors)
        ids, mask = batch.ids, batch.mask
        if self.second is not None:
            other = self.second_batches[at][1]
            words = torch.cat([words, torch.nn.functional.embedding(other.ids, self.model.table)])
            ids, mask = torch.cat([ids, other.ids]), joined(batch, other)
        features = self.model.features(ids, mask, form, words)
        features = features if self.second is None else torch.cat(features.chunk(2), -1)
        return losses_toward(self.model.logits(features), self.target).sum()

    # --- batched ---

    def row_logits(self, row, triggers, form, group):
        parts = [
            self.model.features(ids, None, form) for _, ids in self.rows.tiled(row, triggers, group)
        ]
        features = torch.cat(parts)
        if self.second is not None:
            other = self.model.features(self.second.alone(row).ids, None, form)
            features = torch.cat([features, other.expand(len(features), -1)], -1)
        return self.model.logits(features)

    @torch.inference_mode()
    def batched_losses(self, candidates):
        losses = torch.zeros(len(candidates), len(self.rows), dtype=torch.float64)
        for row in range(len(self.rows)):
            length = len(self.rows.stamped[row][0])
            group = len(candidates) if self.whole else max(1, round(TOKENS / length))
            losses[:, row] = losses_toward(self.row_logits(row, candidates, self.batched_form, group), self.target)
        return losses

    def alone_loss(self, row, vectors, form):
        batch = self.rows.alone(row)
        features = self.model.features(batch.ids, None, form, batch.words(self.model.table, vectors))
        if self.second is not None:
            with torch.no_grad():
                other = self.model.features(self.second.alone(row).ids, None, form)
            features = torch.cat([features, other], -1)
        return losses_toward(self.model.logits(features), self.target).sum()

    # --- both ---

    def part_gradients(self, trigger, form, row):
        vectors = self.model.table[trigger].clone().requires_grad_()
        self.alone_loss(row, vectors, form).backward()

    def ranking(self, trigger, padded_form):
        """Ids with the largest −gradient of the mean loss per position, largest first. `padded_form`: attention over padded batches; none: row by row."""
        vectors = self.model.table[trigger].clone().requires_grad_()
        for at in range(len(self.batches) if padded_form else len(self.rows)):
            loss = (
                self.padded_loss(at, vectors, padded_form)
                if padded_form
                else self.alone_loss(at, vectors, self.alone_form)
            )
            (loss / len(self.rows)).backward()
        slopes = vectors.grad @ self.model.table[self.vocabulary].T
        return self.vocabulary[slopes.topk(min(self.topk, len(self.vocabulary)), largest=False).indices]

    def step(self, trigger, candidates, form):
        """Gradient and ranking at the trigger, then the candidates' losses; both timed. The candidates are given, as elibad drew them."""
        trigger, candidates = torch.tensor(trigger), torch.tensor(candidates)
        with Clock() as ranking:
            topk = self.ranking(trigger, PADDED.get(form))
        with Clock() as scoring:
            padded = PADDED.get(form)
            losses = self.padded_losses(candidates, padded) if padded else self.batched_losses(candidates)
            means = losses.mean(1)
            winner = int(means.argmin())
        return {
            "ranking": ranking.time(),
            "scoring": scoring.time(),
            "topk": topk.tolist(),
            "losses": means.tolist(),
            "winner": winner,
        }

    @torch.inference_mode()
    def logits(self, trigger):
        """Of every row with a trigger, in each form: [rows, classes] each. What elibad's are compared with."""
        trigger = torch.tensor(trigger)

        def padded(form):
            return torch.cat([self.padded_logits(at, trigger, form) for at in range(len(self.batches))]).tolist()

        batched = [self.row_logits(row, trigger[None], self.batched_form, 1) for row in range(len(self.rows))]
        loops = {name: padded(form) for name, form in PADDED.items()}
        return {**loops, "batched": torch.cat(batched).tolist()}


def some_triggers(count, length, vocabulary):
    return vocabulary[torch.arange(count * length).reshape(count, length) % len(vocabulary)]


def joined(first, second):
    """The mask of two batches of one width under each other."""
    masks = [torch.ones_like(b.ids, dtype=torch.bool) if b.mask is None else b.mask for b in (first, second)]
    return torch.cat(masks)
