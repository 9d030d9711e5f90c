"""A fixture: one random checkpoint, the sequences it is run on, and what transformers answers."""

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PretrainedConfig

from generator import checkpoints, references, tokenizer_training
from generator.references import Cases, Sequence

LENGTHS = (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 511, 512)
SHORT_LENGTHS = (1, 2, 17, 65, 129)


@dataclass
class Fixture:
    """`special` are the ids that open and close a sequence; ids below `first_id` are never drawn.

    Where transformers cannot read the layout of the checkpoint (`read_back` false), the reference reads the same
    weights from a plain one.
    """

    name: str
    config: PretrainedConfig
    model_class: type
    seed: int
    outputs: list[str] = field(default_factory=lambda: ["last_hidden_state"])
    lengths: tuple[int, ...] = LENGTHS
    special: tuple[int, int] = (2, 3)
    first_id: int = 5
    token_types: int = 0
    tokenizer: str | None = None
    model_options: dict = field(default_factory=dict)
    storage: dict = field(default_factory=dict)
    extra_sequences: list[Sequence] = field(default_factory=list)
    may_ignore: tuple[str, ...] = ()
    adjust: Callable[[torch.nn.Module], None] | None = None
    prepare_reference: Callable[[torch.nn.Module], None] | None = None
    read_back: bool = True
    facts: dict = field(default_factory=dict)


def _sequence(fixture: Fixture, name: str, length: int, source: random.Random, typed: bool) -> Sequence:
    ids = [source.randrange(fixture.first_id, fixture.config.vocab_size) for _ in range(length)]
    ids[0] = fixture.special[0]
    if length > 1:
        ids[-1] = fixture.special[1]
    types = None
    if fixture.token_types > 1:
        second = source.randrange(1, length + 1) if typed else length
        types = [0] * second + [fixture.token_types - 1] * (length - second)
    return Sequence(name, ids, types)


def make_cases(fixture: Fixture) -> Cases:
    """One sequence for each length; a batch of all of them shuffled, some twice; a batch of equal lengths."""
    source = random.Random(fixture.seed)
    sequences = [
        _sequence(fixture, f"length {length}", length, source, index % 2 == 1)
        for index, length in enumerate(fixture.lengths)
    ]
    middle = fixture.lengths[len(fixture.lengths) // 2]
    equal = [len(sequences) + offset for offset in range(2)]
    sequences += [_sequence(fixture, f"length {middle} again {offset}", middle, source, True) for offset in range(2)]
    sequences += fixture.extra_sequences
    mixed = [*range(len(sequences)), 0, 2, 1]
    source.shuffle(mixed)
    return Cases(sequences, {"mixed": mixed, "uniform": [len(fixture.lengths) // 2, *equal]})


def make_model(fixture: Fixture) -> torch.nn.Module:
    """Fresh weights of the fixture's seed."""
    model = checkpoints.randomise(fixture.model_class(fixture.config, **fixture.model_options), fixture.seed)
    if fixture.adjust:
        with torch.no_grad():
            fixture.adjust(model)
    return model


def write_checkpoint(fixture: Fixture, folder: Path) -> None:
    checkpoints.write(make_model(fixture), folder, **fixture.storage)


def load_reference(
    fixture: Fixture, folder: Path, dtype: torch.dtype = torch.float64, attention: str | None = "eager"
) -> references.Reference:
    """The checkpoint as transformers reads it."""
    with tempfile.TemporaryDirectory() as plain:
        if not fixture.read_back:
            checkpoints.write(make_model(fixture), Path(plain), dtype=fixture.storage["dtype"])
            folder = Path(plain)
        options = fixture.model_options
        reference = references.load(folder, fixture.model_class, dtype, fixture.outputs, options, attention)
    if fixture.prepare_reference:
        fixture.prepare_reference(reference.model)
    return reference


def build(fixture: Fixture, root: Path, tokenizers: dict) -> str:
    """Writes the fixture below `root`; returns a line for the log."""
    folder = root / fixture.name
    shutil.rmtree(folder, ignore_errors=True)
    checkpoint = folder / "checkpoint"
    write_checkpoint(fixture, checkpoint)
    if fixture.tokenizer:
        tokenizer_training.save(tokenizers[fixture.tokenizer], fixture.tokenizer, checkpoint)
    reference = load_reference(fixture, checkpoint)
    cases = make_cases(fixture)
    probing = [sequence for sequence in cases.sequences if 1 < len(sequence.ids) <= 129]
    deaf = references.insensitive_tensors(reference, probing)
    deaf = [name for name in deaf if not any(part in name for part in fixture.may_ignore)]
    if deaf:
        raise AssertionError(f"{fixture.name}: the outputs ignore {deaf}")
    facts = {"name": fixture.name, "modelClass": fixture.model_class.__name__, "seed": fixture.seed, **fixture.facts}
    single = load_reference(fixture, checkpoint, torch.float32)
    errors = references.write(folder, reference, single, cases, facts, fixture.seed)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{fixture.name}: {size / 1024:.0f} KiB, float32 error {max(errors.values()):.1e}"
