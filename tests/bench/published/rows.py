"""Rows with a place for a trigger, as batches: padded to the longest row as the published loop has them, or of one length."""

import torch


def stamp(row, length, index, max_len, end_id, filler):
    """A row with `length` fillers at `index`, cut to `max_len`, and the column of each of them: −1 where it was cut or overwritten."""
    stamped = (row[:index] + [filler] * length + row[index:])[:max_len]
    usable = max_len
    if len(stamped) == max_len and length > 0:
        stamped[-1] = end_id
        usable = max_len - 1
    return stamped, [index + k if index + k < usable else -1 for k in range(length)]


class Batch:
    """Some rows in one tensor of ids. `put` writes a trigger into all of them."""

    def __init__(self, stamped, width, pad):
        """stamped: pairs of a row and its slots. width: columns; the rest of a row is padding."""
        rows = [row for row, _ in stamped]
        self.ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        self.mask = None if all(len(row) == width for row in rows) else self.ids != pad
        places = [(k, slot, t) for k, (_, slots) in enumerate(stamped) for t, slot in enumerate(slots) if slot >= 0]
        self.rows, self.columns, self.tokens = torch.tensor(places, dtype=torch.long).reshape(-1, 3).T

    def put(self, trigger):
        ids = self.ids.clone()
        ids[self.rows, self.columns] = trigger[self.tokens]
        return ids

    def words(self, table, trigger):
        """Word vectors [B, T, h] with those of the trigger [L, h] in their places."""
        words = torch.nn.functional.embedding(self.ids, table)
        return words.index_put((self.rows, self.columns), trigger[self.tokens])


class Rows:
    """Rows of one kind (codes, queries) with the place of a trigger of a fixed length in each."""

    def __init__(self, rows, insert_indexes, trigger_len, max_len, end_id, pad):
        self.pad, self.max_len = pad, max_len
        # Until a trigger is put in, its places hold an id that is not padding.
        self.stamped = [
            stamp(row, trigger_len, at, max_len, end_id, pad + 1) for row, at in zip(rows, insert_indexes)
        ]

    @classmethod
    def plain(cls, rows, max_len, pad):
        """Rows without a trigger."""
        return cls(rows, [0] * len(rows), 0, max_len, pad, pad)

    def __len__(self):
        return len(self.stamped)

    def padded(self, size):
        """The published loop's batches: `size` rows each, in order, padded to `max_len`. With the indexes of their rows."""
        chosen = [range(k, min(k + size, len(self))) for k in range(0, len(self), size)]
        return [(list(rows), Batch([self.stamped[k] for k in rows], self.max_len, self.pad)) for rows in chosen]

    def alone(self, row, copies=1):
        """One row `copies` times, without padding: a full row may end in the padding id, which is then cut."""
        ids, slots = self.stamped[row]
        end = len(ids)
        while end > 1 and ids[end - 1] == self.pad:
            end -= 1
        return Batch([(ids[:end], slots)] * copies, end, self.pad)

    def tiled(self, row, triggers, group):
        """The row with each trigger [C, L], `group` of them at a time, as ids."""
        one = self.alone(row)
        for start in range(0, len(triggers), group):
            some = triggers[start : start + group]
            ids = one.ids.repeat(len(some), 1)
            ids[:, one.columns] = some[:, one.tokens]
            yield start, ids
