#!/usr/bin/env python3
"""Compares `padless run` with transformers in float64 on a checkpoint that nobody has seen before.

    python test/goldens/compare_run.py --like roberta --seed 7 -- npx padless run
    python test/goldens/compare_run.py --shape minilm --lengths 5,512,33 -- node dist/cli/main.js run --threads 2
    python test/goldens/compare_run.py --like bert-silu --set hidden_size=60 num_attention_heads=5 -- npx padless run

The checkpoint has the configuration of a fixture (`--like`), changed by `--shape` and `--set`, and fresh random
weights. The command gets --model, --input and --output appended. Prints the relative L2 error of every output over
all tokens, and of the worst sequence. Exit code 1 when an error exceeds --tolerance or an output is missing.
"""

import argparse
import copy
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generator import fixtures, groups, references  # noqa: E402


def size(hidden: int, layers: int, heads: int, intermediate: int, **more) -> dict:
    shape = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return shape | {"intermediate_size": intermediate} | more


SHAPES = {
    "minilm": size(384, 6, 12, 1536, vocab_size=30522, max_position_embeddings=514),
    "base": size(768, 12, 12, 3072, vocab_size=30522, max_position_embeddings=514),
    "compact-2-128": size(128, 2, 2, 512, vocab_size=30522, max_position_embeddings=514),
    "odd": size(105, 3, 7, 211, vocab_size=333, max_position_embeddings=514),
    "wide-head": size(256, 2, 2, 300, vocab_size=333, max_position_embeddings=514),
}


def _parse_value(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--like", default="bert", help="fixture whose configuration to take (default: bert)")
    parser.add_argument("--shape", choices=SHAPES, help="size to give it")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="more changes of config.json")
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock, printed")
    parser.add_argument("--lengths", help="comma-separated; default: 16 random ones up to the model's limit")
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "float16", "bfloat16"], help="of the weight file"
    )
    parser.add_argument("--tolerance", type=float, default=references.TOLERANCE)
    parser.add_argument("--keep", type=Path, help="leave the checkpoint and the files here")
    parser.add_argument("command", nargs="+", help="the command line, after --")
    options = parser.parse_args()
    options.seed = int(time.time()) if options.seed is None else options.seed
    return options


def _limit(fixture) -> int:
    positions = getattr(fixture.config, "max_position_embeddings", 0) or 0
    return min(512, positions - 2) if positions > 0 else 512


def make_fixture(options):
    """The fixture of that name with fresh seed, sizes and lengths."""
    known = {fixture.name: fixture for fixture in groups.every_fixture()}
    if options.like not in known:
        sys.exit(f"--like {options.like}: no such fixture; there are {', '.join(sorted(known))}")
    fixture = copy.deepcopy(known[options.like])
    changes = SHAPES.get(options.shape, {}) | dict(entry.split("=", 1) for entry in options.set)
    for key, value in changes.items():
        setattr(fixture.config, key, _parse_value(value) if isinstance(value, str) else value)
    fixture.seed = options.seed
    source = random.Random(options.seed)
    if options.lengths:
        fixture.lengths = tuple(int(length) for length in options.lengths.split(","))
    else:
        fixture.lengths = tuple(min(_limit(fixture), int(source.lognormvariate(4.0, 1.2)) + 1) for _ in range(16))
    fixture.extra_sequences = []
    return fixture


def build(fixture, folder: Path, dtype: str):
    """Writes the checkpoint; returns the float64 reference and the sequences."""
    checkpoint = folder / "checkpoint"
    fixture.storage = fixture.storage | {"dtype": getattr(torch, dtype)}
    fixtures.write_checkpoint(fixture, checkpoint)
    return fixtures.load_reference(fixture, checkpoint), fixtures.make_cases(fixture).sequences


def run_command(command: list[str], folder: Path, sequences) -> dict[str, np.ndarray]:
    body = {"sequences": [sequence.ids for sequence in sequences]}
    if sequences[0].token_types is not None:
        body["tokenTypes"] = [sequence.token_types for sequence in sequences]
    (folder / "ids.json").write_text(json.dumps(body))
    paths = ["--model", folder / "checkpoint", "--input", folder / "ids.json", "--output", folder / "out.safetensors"]
    status = subprocess.run([*command, *map(str, paths)]).returncode
    if status:
        sys.exit(f"{' '.join(command)} failed with exit code {status}")
    return load_file(folder / "out.safetensors")


def rows_of(actual: np.ndarray, index: int, offsets: np.ndarray, per_token: bool) -> np.ndarray:
    return actual[offsets[index] : offsets[index + 1]] if per_token else actual[index]


def compare(actual: dict[str, np.ndarray], expected: list[dict], lengths: list[int], tolerance: float) -> bool:
    """Prints a line for each output; true when all are within the tolerance."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    good = np.array_equal(actual.get("cu_seqlens"), offsets)
    print(f"cu_seqlens         {'as expected' if good else 'WRONG'}")
    for name in expected[0]:
        if name not in actual:
            print(f"{name:18} MISSING")
            good = False
            continue
        per_token = actual[name].shape[0] == offsets[-1] and expected[0][name].dim() == 2
        wanted = [outputs[name].numpy() for outputs in expected]
        found = [rows_of(actual[name], index, offsets, per_token) for index in range(len(lengths))]
        if any(one.shape != two.shape for one, two in zip(found, wanted)):
            print(f"{name:18} WRONG SHAPE {actual[name].shape}")
            good = False
            continue
        squares = [
            (np.square(one.astype(np.float64) - two).sum(), np.square(two).sum()) for one, two in zip(found, wanted)
        ]
        total = np.sqrt(sum(error for error, _ in squares) / sum(norm for _, norm in squares))
        each = [np.sqrt(error / norm) for error, norm in squares]
        worst = int(np.argmax(each))
        good &= bool(max(each) <= tolerance)
        verdict = "ok" if max(each) <= tolerance else "TOO LARGE"
        print(
            f"{name:18} {total:.2e}   worst {each[worst]:.2e} (sequence {worst}, length {lengths[worst]})   {verdict}"
        )
    return good


def main() -> None:
    options = parse_arguments()
    logging.disable_progress_bar()
    fixture = make_fixture(options)
    print(f"like {options.like}, shape {options.shape}, seed {options.seed}, lengths {fixture.lengths}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        reference, sequences = build(fixture, folder, options.dtype)
        expected = [references.run_one(reference, sequence) for sequence in sequences]
        actual = run_command(options.command, folder, sequences)
        good = compare(actual, expected, [len(sequence.ids) for sequence in sequences], options.tolerance)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
