"""One step of code search, r triggers × r targets, in two forms.

published: pair by pair, codes and queries encoded for each pair in padded batches. It is measured on some pairs only.
batched: every trigger with every code and every target with every query encoded once, without padding, then one matrix product.
"""

import torch

from .attention import FORMS
from .rows import Rows
from .search import BATCH, TOKENS, some_triggers
from .trial import Clock, fastest


class PairSearch:
    def __init__(self, model, problem):
        self.model = model
        self.vocabulary = torch.tensor(problem["vocabulary"])
        self.topk = problem["topk"]
        self.sides = [
            Rows(
                side["rows"], side["insert_indexes"], side["trigger_len"], side["max_len"], side["end_id"], model.pad
            )
            for side in (problem["codes"], problem["queries"])
        ]
        self.batches = [side.padded(BATCH) for side in self.sides]
        self.choose(problem["candidates"])

    def choose(self, candidates):
        codes = self.sides[0]
        triggers = some_triggers(candidates, len(codes.stamped[0][1]), self.vocabulary)
        few = max(1, round(TOKENS / codes.max_len))

        def first_batch(form):
            with torch.inference_mode():
                _, batch = self.batches[0][0]
                self.model.features(batch.put(triggers[0]), batch.mask, form)

        self.form = fastest({form: lambda form=form: first_batch(form) for form in FORMS})
        groups = {candidates, min(few, candidates)}
        self.batched_form, group = fastest(
            {(f, g): lambda f=f, g=g: self.row_vectors(codes, 0, triggers, f, g) for f in FORMS for g in groups}
        )
        self.whole = group == candidates

    def about(self):
        groups = "all candidates of a row at once" if self.whole else f"groups of about {TOKENS} tokens"
        return {"published": f"attention {self.form}", "batched": f"attention {self.batched_form}, {groups}"}

    @torch.inference_mode()
    def row_vectors(self, side, row, triggers, form, group):
        return torch.cat([self.model.features(ids, None, form) for _, ids in side.tiled(row, triggers, group)])

    def padded_vectors(self, at, given, embedded=False):
        """Vectors of all rows of a side with a trigger, or with the vectors of one."""
        parts = []
        for _, batch in self.batches[at]:
            ids = batch.ids if embedded else batch.put(given)
            words = batch.words(self.model.table, given) if embedded else None
            parts.append(self.model.features(ids, batch.mask, self.form, words))
        return torch.cat(parts)

    def ranking(self, trigger, target):
        """Ids with the largest −gradient of the loss, for each position of both parts."""
        vectors = [self.model.table[ids].clone().requires_grad_() for ids in (trigger, target)]
        codes, queries = (self.padded_vectors(at, given, embedded=True) for at, given in enumerate(vectors))
        ((queries @ codes.T - 1) ** 2).mean().backward()
        table = self.model.table[self.vocabulary].T
        return [self.vocabulary[(v.grad @ table).topk(self.topk, largest=False).indices].tolist() for v in vectors]

    @torch.inference_mode()
    def pair_losses(self, triggers, targets, pairs):
        losses = []
        for t, g in pairs:
            codes, queries = self.padded_vectors(0, triggers[t]), self.padded_vectors(1, targets[g])
            losses.append(((queries @ codes.T).double() - 1).square().mean().item())
        return losses

    @torch.inference_mode()
    def all_losses(self, triggers, targets):
        """[triggers, targets]"""
        encoded = []
        for side, given in zip(self.sides, (triggers, targets)):
            vectors = []
            for row in range(len(side)):
                group = len(given) if self.whole else max(1, round(TOKENS / len(side.stamped[row][0])))
                vectors.append(self.row_vectors(side, row, given, self.batched_form, group))
            encoded.append(torch.stack(vectors, 1))
        codes, queries = encoded
        n = codes.shape[1]
        scores = queries.flatten(0, 1) @ codes.flatten(0, 1).T
        squares = (scores.double() - 1).square_()
        return squares.unflatten(0, (-1, n)).unflatten(-1, (-1, n)).mean((1, 3)).T

    def step(self, trigger, target, triggers, targets, pairs=None):
        """The whole grid with cached encodings; with pairs, these pairs one by one."""
        triggers, targets = torch.tensor(triggers), torch.tensor(targets)
        with Clock() as ranking:
            topk = self.ranking(torch.tensor(trigger), torch.tensor(target))
        with Clock() as scoring:
            if pairs is None:
                losses = self.all_losses(triggers, targets)
            else:
                losses = torch.tensor(self.pair_losses(triggers, targets, pairs))
        return {
            "ranking": ranking.time(),
            "scoring": scoring.time(),
            "topk": topk,
            "losses": losses.tolist(),
            "winner": divmod(int(losses.argmin()), losses.shape[-1]) if pairs is None else None,
        }
