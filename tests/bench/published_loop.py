"""The published loop in PyTorch, to measure elibad against; started by `npm run bench -- --torch PYTHON`, as `torch-process.ts` does.

Needs torch alone. Reads one command a line on stdin, a JSON object, and answers each with one line of JSON: {"ok": …} or {"error": …}.
The process stays, so that no start-up is measured; all times are taken in here, around the work alone.
"""

import json
import os
import sys

import torch
from published.evaluation import Evaluation
from published.model import Model
from published.pairs import PairSearch
from published.search import Search
from published.unlearning import Unlearning

PROBLEMS = {"search": Search, "pairs": PairSearch, "unlearning": Unlearning, "evaluation": Evaluation}
opened = None


def start(threads):
    torch.set_num_threads(threads)
    built = torch.__config__.show()
    version = lambda name: next((line.strip(" -") for line in built.splitlines() if name in line), f"no {name}")
    return {
        "torch": torch.__version__.split("+")[0],
        "threads": torch.get_num_threads(),
        "matmul": version("Math Kernel Library"),
        "onednn": version("MKL-DNN") if torch.backends.mkldnn.is_available() else "no oneDNN",
        "mmap_max": os.environ.get("MALLOC_MMAP_MAX_"),
    }


def open_problem(model, task, kind, problem):
    """One problem is open at a time; its model goes with it."""
    global opened
    opened = None
    opened = PROBLEMS[kind](Model(model, task), problem)
    return opened.about()


def close():
    global opened
    opened = None


def call(method, **arguments):
    return getattr(opened, method)(**arguments)


COMMANDS = {"start": start, "open": open_problem, "close": close, "call": call}

for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = {"ok": COMMANDS[command.pop("do")](**command)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
