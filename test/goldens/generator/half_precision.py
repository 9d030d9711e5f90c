"""What bfloat16 and float16 cost in transformers, which padless's own errors are held to.

The model runs as a user gets it: weights and activations in that dtype, the attention that transformers chooses.
Models that transformers has no class for run their own reference in that dtype, every result rounded to it.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file

from generator import fixtures, references
from generator.references import Sequence

DTYPES = {"transformersBfloat16Error": torch.bfloat16, "transformersFloat16Error": torch.float16}


def stored_errors(
    run: Callable[[Sequence], dict[str, torch.Tensor]], outputs: list[str], cases: dict, expected: dict[str, torch.Tensor]
) -> dict[str, float]:
    """Relative L2 error of what `run` gives, by output, over what is stored of all sequences."""
    differences = dict.fromkeys(outputs, 0.0)
    norms = dict.fromkeys(outputs, 0.0)
    for index, entry in enumerate(cases["sequences"]):
        sequence = Sequence(entry["name"], entry["ids"], entry.get("tokenTypes"))
        for name, value in run(sequence).items():
            wanted = expected[f"{index}.{name}"]
            if f"{index}.{name}.probed" in expected:
                value = value[entry["rows"]]
            differences[name] += (value.double() - wanted).square().sum().item()
            norms[name] += wanted.square().sum().item()
    return {name: float(f"{(differences[name] / norms[name]) ** 0.5:.2e}") for name in outputs}


def describe(fixture: "fixtures.Fixture", folder: Path) -> dict[str, dict[str, float]]:
    """Adds the errors of each dtype to cases.json of a fixture that has been written to `folder`."""
    path = folder / "cases.json"
    cases = json.loads(path.read_text())
    expected = load_file(folder / "expected.safetensors")
    found = {}
    for key, dtype in DTYPES.items():
        reference = fixtures.load_reference(fixture, folder / "checkpoint", dtype, attention=None)
        for parameter in reference.model.parameters():
            parameter.data = parameter.data.to(dtype)  # DeBERTa v1 leaves two biases in float32 and then fails
        found[key] = stored_errors(partial(references.run_one, reference), reference.outputs, cases, expected)
    sequences, batches = cases.pop("sequences"), cases.pop("batches")
    references.write_cases(path, cases | found, batches, sequences)
    return found
