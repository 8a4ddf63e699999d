"""Reads a checkpoint folder as the published code saves it, or as the bench writes one: `config.json` and one weight file."""

import json
import math
from pathlib import Path

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_config(folder):
    return json.loads((Path(folder) / "config.json").read_text())


def read_weights(folder):
    """Tensors by name in float32, from `model.bin` (no code in it is run) or `model.safetensors`."""
    path = Path(folder) / "model.bin"
    if path.exists():
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    else:
        tensors = read_safetensors(Path(folder) / "model.safetensors")
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def read_safetensors(path):
    """8 bytes with the header's length, the header as JSON, then the tensors' bytes."""
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        start, _ = entry["data_offsets"]
        tensors[name] = torch.frombuffer(
            data, dtype=DTYPES[entry["dtype"]], count=math.prod(entry["shape"]), offset=8 + length + start
        ).reshape(entry["shape"])
    return tensors
