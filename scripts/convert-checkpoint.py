#!/usr/bin/env python3
"""Converts PyTorch pickles of a model directory to safetensors, which padless reads. Needs torch and safetensors.

    python convert-checkpoint.py DIR                every pickle of weights in DIR and its folders
    python convert-checkpoint.py DIR/sparse_linear.pt ...

pytorch_model.bin becomes model.safetensors, shards and their index likewise; other files keep their name and get the
ending .safetensors. The pickles stay. They are read with weights_only=True, so that none of them can run code.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

PICKLES = re.compile(r"\.(bin|pt|pth|ckpt)$")
NOT_WEIGHTS = re.compile(r"^(training_args|optimizer|scheduler|scaler|rng_state)")
INDEX = "pytorch_model.bin.index.json"


class Refused(Exception):
    """What is wrong with a file, for the user."""


def target_name(name: str) -> str:
    return PICKLES.sub(".safetensors", re.sub(r"^pytorch_model", "model", name))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refused(f"cannot be read as weights alone: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise Refused(f"holds a {type(content).__name__} and not tensors by name")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    for name in content.keys() - tensors.keys():
        print(f"{path}: leaves out {name}, which is no tensor")
    if not tensors:
        raise Refused("holds no tensor")
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise Refused(f"{name} is sparse or quantised, which safetensors cannot hold")
    return tensors


def without_ties(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors in memory of their own, and {dropped name: name of the same tensor}. Of several names of one tensor the
    first stays: the embeddings' one, whose decoder is tied to it. Metadata says so, as transformers writes it."""
    kept: dict[str, torch.Tensor] = {}
    dropped: dict[str, str] = {}
    seen: dict[tuple, str] = {}
    for name, tensor in tensors.items():
        identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() > 0 and identity in seen:
            dropped[name] = seen[identity]
            continue
        seen[identity] = name
        kept[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return kept, dropped


def convert_file(path: Path, overwrite: bool) -> Path:
    target = path.with_name(target_name(path.name))
    if target.exists() and not overwrite:
        raise Refused(f"{target.name} is there already; --overwrite replaces it")
    tensors, dropped = without_ties(read_tensors(path))
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        save_file(tensors, unfinished, metadata={"format": "pt", **dropped})
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{path} -> {target.name}: {len(tensors)} tensors" + (f", {len(dropped)} tied" if dropped else ""))
    return target


def write_index(path: Path) -> None:
    """The index of the shards, without the names that turned out to be tied."""
    from safetensors import safe_open

    index = json.loads(path.read_text("utf8"))
    files = sorted({target_name(file) for file in index["weight_map"].values()})
    weight_map = {}
    for file in files:
        with safe_open(path.with_name(file), "pt") as shard:
            weight_map.update({name: file for name in shard.keys()})
    metadata = index.get("metadata", {})
    target = path.with_name("model.safetensors.index.json")
    target.write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=2) + "\n", "utf8")
    print(f"{path} -> {target.name}")


def pickles(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and PICKLES.search(file.name)]
    return [file for file in found if not NOT_WEIGHTS.match(file.name)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR_OR_FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace safetensors files that are there")
    options = parser.parse_args()
    failed = False
    for path in options.paths:
        files = pickles(path)
        if not files:
            print(f"{path}: no pickle of weights", file=sys.stderr)
            failed = True
        for file in files:
            try:
                convert_file(file, options.overwrite)
            except (Refused, OSError) as error:
                print(f"{file}: {error}", file=sys.stderr)
                failed = True
        if path.is_dir() and not failed:
            for index in sorted(path.rglob(INDEX)):
                write_index(index)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
