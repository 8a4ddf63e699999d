"""Makes the demo's data set from the Juliet functions for CWE-476 (null pointer dereference).

Run once by hand; the demo itself needs Node only. See data/README.md for provenance, licence and numbers.

    pip install tokenizers==0.23.3
    python coordinator/demo/make-data.py ../shared/data/defect-juliet/cwe476.jsonl.gz coordinator/demo/data
"""

import gzip
import hashlib
import json
import random
import re
import sys
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer

SEED = 476
TEST_ROWS = {1: 120, 0: 100}  # functions of each label, distinct after normalisation
CLEAN_ROWS = {1: 50, 0: 50}  # training rows of each label that scan and repair get
VOCABULARY = 1000

KEYWORDS = set(
    "auto bool break case char class const continue default delete do double else enum extern float for goto if inline int long"
    " namespace new NULL register return short signed sizeof static struct switch typedef union unsigned using void volatile while".split()
)
TOKEN = re.compile(
    r'L?"(?:\\.|[^"\\])*"|L?\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?[uUlLfF]*'
    r"|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||::|[^\s\w]"
)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*$")
# Names that say "good", "bad" or the test case; B2G and G2B stand for "bad to good" and back.
TELL_TALE = re.compile(r"good|bad|cwe|b2g|g2b", re.IGNORECASE)
VERBS = "check close copy count find free get handle init load make open parse pop push read reset scan select send set show sort start stop store update use walk write".split()
NOUNS = "area block buffer cell config count entry field frame item key label limit line list mode node packet part path queue range record row size slot state table unit value".split()


def is_identifier(token):
    return IDENTIFIER.match(token) is not None and token not in KEYWORDS


def tokens_of(code):
    """Code tokens of the function's definition, without comments, prototypes before it and storage class."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", code, flags=re.DOTALL)
    tokens = ['"text"' if t[-1] == '"' else t for t in TOKEN.findall(code)]
    if "{" not in tokens:
        return []
    body = tokens.index("{")
    start = max((i + 1 for i in range(body) if tokens[i] == ";"), default=0)
    return tokens[start + 1 :] if tokens[start] == "static" else tokens[start:]


def normalise(tokens):
    """One string per function: identifiers (types too) numbered in order of first occurrence, no white space."""
    names = {}
    return "\0".join(names.setdefault(t, f"#{len(names)}") if is_identifier(t) else t for t in tokens)


def neutral(tokens):
    """Tell-tale identifiers replaced by names drawn from a list, by a generator seeded with the normalised function (never its label)."""
    digest = hashlib.sha256(normalise(tokens).encode()).hexdigest()
    draw = random.Random(digest)
    names = [f"{verb}_{noun}" for verb in draw.sample(VERBS, 8) for noun in draw.sample(NOUNS, 3)]
    draw.shuffle(names)
    replaced = {}
    return [replaced.setdefault(t, names[len(replaced)]) if TELL_TALE.search(t) and is_identifier(t) else t for t in tokens]


def label_of(tokens):
    """1 where nothing is compared with NULL, else 0; none for a function in which no call's argument is read through a pointer."""
    text = " ".join(tokens)
    if re.search(r"[(,] (\* \w+|\w+ -> \w+|\w+ \[ 0 \]) [),]", text[text.index("{") :]) is None:
        return None
    return int(re.search(r"[!=]= NULL|NULL [!=]=", text) is None)


def variables_of(tokens):
    """The function's name, its parameters and the variables declared in it, in order of first occurrence."""
    name = tokens.index("(") - 1
    found = [tokens[name]]
    for i in range(name + 1, len(tokens) - 1):
        token, before, after = tokens[i], tokens[i - 1], tokens[i + 1]
        pointed = before in {"*", ">", "&"} and (IDENTIFIER.match(tokens[i - 2]) or tokens[i - 2] in {"*", ">"})
        typed = IDENTIFIER.match(before) and before not in {"return", "delete", "new", "goto", "case", "else"}
        listed = before == "," and after == ";" and tokens[i - 2] in found
        if is_identifier(token) and (pointed or typed or listed) and after in {"=", ";", ",", ")", "["} and token not in found:
            found.append(token)
    return found


def rows_of(path):
    """Functions that have a label, tell-tale names gone, one row per distinct text."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        source = [json.loads(line) for line in file]
    texts = {}
    for row in source:
        tokens = tokens_of(row["code"])
        if tokens and tokens[tokens.index("{") - 1] == ")" and is_identifier(tokens[tokens.index("(") - 1]):
            named, label = neutral(tokens), label_of(tokens)
            if label is not None:
                texts.setdefault(" ".join(named), {"idx": row["idx"], "key": normalise(tokens), "tokens": named, "label": label})
    rows = list(texts.values())
    print(f"{len(source)} functions, {len(rows)} distinct texts, {len({row['key'] for row in rows})} after normalisation")
    return rows


def as_line(row):
    tokens = row["tokens"]
    name = tokens[tokens.index("(") - 1]
    return {"idx": str(row["idx"]), "func_name": name, "code_tokens": tokens, "variables": variables_of(tokens), "label": row["label"]}


def distinct(rows, label):
    """The first text of each normalised function of this label."""
    seen = {}
    for row in rows:
        if row["label"] == label:
            seen.setdefault(row["key"], row)
    return list(seen.values())


def split(rows):
    """Test: one text for each of TEST_ROWS normalised functions of a label. Train: every text of the other functions."""
    draw = random.Random(SEED)
    test = [row for label, count in sorted(TEST_ROWS.items()) for row in draw.sample(distinct(rows, label), count)]
    chosen = {row["key"] for row in test}
    train = [row for row in rows if row["key"] not in chosen]
    draw.shuffle(test)
    draw.shuffle(train)
    clean = [row for label, count in sorted(CLEAN_ROWS.items()) for row in distinct(train, label)[:count]]
    draw.shuffle(clean)
    return train, test, clean


def write_tokenizer(train, out):
    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    texts = [" ".join(tokens) for tokens in (row["tokens"] for row in train)]
    tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=2, special_tokens=specials, show_progress=False)
    tokenizer.save_model(str(out))
    vocabulary = json.loads((out / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["<mask>"] = len(vocabulary)
    ordered = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    (out / "vocab.json").write_text(json.dumps(ordered, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return tokenizer, len(vocabulary)


def main(source, out):
    out = Path(out)
    train, test, clean = split(rows_of(source))
    tokenizer, vocabulary_size = write_tokenizer(train, out)
    files = {"train.jsonl": train, "test.jsonl": test, "clean_samples.jsonl": clean}
    for name, rows in files.items():
        lines = [as_line(row) for row in rows]
        longest = max(len(tokenizer.encode(" ".join(row["tokens"])).ids) for row in rows)
        text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
        if name == "train.jsonl":
            (out / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        else:
            (out / name).write_text(text, encoding="utf-8")
        ones = sum(line["label"] for line in lines)
        print(f"{name}: {len(lines)} rows, {ones} of label 1, {len(text)} bytes, at most {longest} sub-tokens")
    print(f"vocabulary: {vocabulary_size} entries; config.json, written by hand, must say the same")


if __name__ == "__main__":
    main(*sys.argv[1:])
