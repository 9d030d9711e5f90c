#!/usr/bin/env python3
"""Writes the fixtures of test/goldens. Needs torch, transformers, tokenizers and safetensors; see README.md.

python test/goldens/generate.py               every group
python test/goldens/generate.py bert chains   these groups
python test/goldens/generate.py bert --only bert-relu
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generator import (  # noqa: E402
    chain_list,
    chains,
    difficult_strings,
    fixtures,
    fp8_errors,
    half_precision,
    retrieval,
    task_fixtures,
    tokenizer_training,
    tokenizer_windows,
)
from generator.groups import MODEL_GROUPS, MODELS, every_fixture, load_tokenizers  # noqa: E402


def write_models(module, only: str | None) -> None:
    tokenizers = load_tokenizers()
    for fixture in module.fixtures(tokenizers):
        if only in (None, fixture.name):
            print(fixtures.build(fixture, MODELS, tokenizers), flush=True)
            half_precision.describe(fixture, MODELS / fixture.name)


def write_strings(only: str | None) -> None:
    count = difficult_strings.write(load_tokenizers(), HERE / "tokenizer_strings.json")
    print(f"tokenizer_strings.json: {count} records")


def write_windows(only: str | None) -> None:
    count = tokenizer_windows.write(load_tokenizers(), HERE / "tokenizer_windows.json")
    print(f"tokenizer_windows.json: {count} records")


def write_half_precision(only: str | None) -> None:
    """What each group of models does after writing a fixture, without writing it."""
    for fixture in every_fixture():
        if only in (None, fixture.name):
            print(fixture.name, half_precision.describe(fixture, MODELS / fixture.name), flush=True)


def write_int8_errors(only: str | None) -> None:
    # Needs onnx and onnxruntime, which nothing else here does.
    from generator import int8_errors

    count = int8_errors.write(every_fixture(), MODELS, HERE / "int8_errors.json", only)
    print(f"int8_errors.json: {count} models")


def write_fp8_errors(only: str | None) -> None:
    count = fp8_errors.write(every_fixture(), MODELS, HERE / "fp8_errors.json", only)
    print(f"fp8_errors.json: {count} models")


def write_chains(only: str | None) -> None:
    for seed, chain in enumerate(chain_list.chains()):
        if only in (None, chain.name):
            print(chains.build(chain, HERE / "chains", MODELS, 1000 + 10 * seed), flush=True)


def write_tasks(only: str | None, transformers_4: Path | None = None) -> None:
    for name, build in task_fixtures.fixtures(transformers_4).items():
        if only in (None, name):
            print(build(HERE / "tasks", MODELS), flush=True)
    if not transformers_4:
        print("questions-*: kept, since --transformers-4 was not given")


def write_retrieval(only: str | None) -> None:
    for name in retrieval.CASES:
        if only in (None, name):
            print(retrieval.build(name, HERE / "retrieval", MODELS), flush=True)


GROUPS = {
    **{name: partial(write_models, module) for name, module in MODEL_GROUPS.items()},
    "strings": write_strings,
    "windows": write_windows,
    "chains": write_chains,
    "retrieval": write_retrieval,
    "half": write_half_precision,
    "int8": write_int8_errors,
    "fp8": write_fp8_errors,
    "tasks": write_tasks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="default: all")
    parser.add_argument("--only", help="one fixture of the group")
    parser.add_argument(
        "--train-tokenizers", metavar="SPM_TRAIN", help="train the tokenizers again, with this spm_train"
    )
    parser.add_argument(
        "--transformers-4", metavar="DIR", type=Path, help="package of transformers 4.57, for group tasks"
    )
    options = parser.parse_args()
    torch.set_num_threads(2)
    logging.disable_progress_bar()
    if options.train_tokenizers:
        for name, tokenizer in tokenizer_training.train(HERE / "corpus.txt", options.train_tokenizers).items():
            if options.only in (None, name):
                tokenizer_training.save(tokenizer, name, MODELS / name / "checkpoint")
    for group in options.groups or GROUPS:
        if group == "tasks":
            write_tasks(options.only, options.transformers_4)
        else:
            GROUPS[group](options.only)


if __name__ == "__main__":
    main()
