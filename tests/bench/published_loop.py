"""The published loop in PyTorch, to measure elibad against; started by `npm run bench -- --torch PYTHON`, as `torch-process.ts` does.

Needs torch alone. Reads one command a line on stdin, a JSON object, and answers each with one line of JSON: {"ok": …} or {"error": …}.
The process stays, so that no start-up is measured; all times are taken in here, around the work alone.
"""

import json
import re
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
    mkl = re.search(r"Math Kernel Library Version (\S+?)-", built)
    onednn = re.search(r"MKL-DNN v(\S+)", built)
    return {
        "torch": torch.__version__.split("+")[0],
        "matmul": f"MKL {mkl[1]}" if mkl else "no MKL",
        "onednn": f"oneDNN {onednn[1]}" if onednn and torch.backends.mkldnn.is_available() else "no oneDNN",
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
