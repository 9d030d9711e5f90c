"""Outputs in float64 by transformers, one sequence at a time without padding, and the files that hold them."""

import copy
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

from generator.float64 import float64_everywhere

TOLERANCE = 1e-5  # the relative L2 error that the engines are held to in float32
FULL_ROWS_UP_TO = 17
EDGE_ROWS = (0, 1, 15, 16, 63, 64, 65, 127, 128, 129, 255, 256)
RANDOM_ROWS = 4
PROBES = 2


@dataclass
class Sequence:
    name: str
    ids: list[int]
    token_types: list[int] | None = None


@dataclass
class Cases:
    """The inputs of one fixture: sequences, and the batches (lists of sequence indices) to run them in."""

    sequences: list[Sequence]
    batches: dict[str, list[int]] = field(default_factory=dict)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return (torch.linalg.vector_norm(actual.double() - expected) / torch.linalg.vector_norm(expected)).item()


def inputs_of(sequence: Sequence) -> dict[str, torch.Tensor]:
    inputs = {"input_ids": torch.tensor([sequence.ids])}
    if sequence.token_types is not None:
        inputs["token_type_ids"] = torch.tensor([sequence.token_types])
    return inputs


def outputs_of(model, inputs, names: list[str]) -> dict[str, torch.Tensor]:
    found = {}
    body = model.base_model(**inputs) if set(names) - {"logits"} else {}
    for name in names:
        if name != "logits":
            found[name] = body[name][0]
            continue
        result = model(**inputs)
        if "start_logits" in result:
            found[name] = torch.stack([result.start_logits[0], result.end_logits[0]], dim=-1)
        else:
            found[name] = result.logits[0]
    return found


def run_one(reference: "Reference", sequence: Sequence) -> dict[str, torch.Tensor]:
    """Outputs of one sequence, without the batch dimension."""
    with torch.no_grad(), reference.arithmetic():
        return outputs_of(reference.fresh_model(), inputs_of(sequence), reference.outputs)


@dataclass
class Reference:
    """A transformers model in the arithmetic of `dtype`; `outputs` names what to take from it."""

    model: torch.nn.Module
    outputs: list[str]
    dtype: torch.dtype

    def arithmetic(self):
        return float64_everywhere() if self.dtype is torch.float64 else nullcontext()

    def fresh_model(self) -> torch.nn.Module:
        """A copy where a rope follows the length: it keeps what the last sequence left behind."""
        is_stateful = any("dynamic" in str(getattr(module, "rope_type", "")) for module in self.model.modules())
        return copy.deepcopy(self.model) if is_stateful else self.model


def load(
    folder: Path, model_class, dtype: torch.dtype, outputs: list[str], options: dict, attention: str | None = "eager"
) -> Reference:
    """The checkpoint as transformers reads it; fails when a weight is missing. `attention` None: its own choice."""
    reference = Reference(None, outputs, dtype)
    chosen = {"attn_implementation": attention} if attention else {}
    with reference.arithmetic():
        model, info = model_class.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, local_files_only=True, **chosen, **options
        )
    if info["missing_keys"]:
        raise AssertionError(f"{folder}: transformers misses {sorted(info['missing_keys'])}")
    reference.model = model.eval()
    return reference


def insensitive_tensors(
    reference: Reference, sequences: list[Sequence], ignore=("key.bias", "k_lin.bias", "attn.k.bias", "key_proj.bias")
) -> list[str]:
    """Names of the weights that the outputs do not notice when noise of 5% is added.

    A key bias shifts all scores of a query alike, so the softmax ignores it: mathematics, not a defect.
    """
    generator = torch.Generator().manual_seed(7)
    before = [run_one(reference, sequence) for sequence in sequences]
    deaf = []
    for name, parameter in reference.model.named_parameters():
        if name.endswith(ignore):
            continue
        saved = parameter.data.clone()
        scale = saved.square().mean().sqrt()
        parameter.data += 0.05 * scale * torch.randn(saved.shape, generator=generator, dtype=saved.dtype)
        after = [run_one(reference, sequence) for sequence in sequences]
        parameter.data = saved
        change = max(relative_error(a[key], b[key]) for a, b in zip(after, before) for key in b)
        if change < 10 * TOLERANCE:
            deaf.append(f"{name} ({change:.1e})")
    return deaf


def _stored_rows(length: int, generator: np.random.Generator) -> list[int]:
    if length <= FULL_ROWS_UP_TO:
        return list(range(length))
    rows = {row for row in EDGE_ROWS if row < length} | {length - 2, length - 1}
    return sorted(rows | set(generator.integers(0, length, RANDOM_ROWS).tolist()))


def _is_per_token(value: torch.Tensor, length: int) -> bool:
    return value.dim() == 2 and value.shape[0] == length


def _pack(outputs, sequence: Sequence, index: int, probes: dict, generator) -> tuple[dict, list[int]]:
    """Tensors of one sequence for expected.safetensors, and the row indices that they hold."""
    tensors = {}
    length = len(sequence.ids)
    rows = _stored_rows(length, generator)
    for name, value in outputs.items():
        if not _is_per_token(value, length):
            tensors[f"{index}.{name}"] = value.numpy()
            continue
        width = value.shape[1]
        if name not in probes:
            probes[name] = generator.standard_normal((width, PROBES))
        tensors[f"{index}.{name}"] = value.numpy()[rows]
        tensors[f"{index}.{name}.probed"] = value.numpy() @ probes[name]
    return tensors, rows


def _float32_error(single: Reference, sequences, expected) -> dict[str, float]:
    errors: dict[str, float] = {}
    for sequence, outputs in zip(sequences, expected):
        for name, value in run_one(single, sequence).items():
            errors[name] = max(errors.get(name, 0.0), relative_error(value, outputs[name]))
    return errors


def write(
    folder: Path, reference: Reference, single: Reference, cases: Cases, facts: dict, seed: int
) -> dict[str, float]:
    """Writes cases.json and expected.safetensors to `folder`; returns the error of `single`, in float32.

    Refuses a fixture on which float32 itself is not well inside the tolerance, or that ignores a weight.
    """
    generator = np.random.default_rng(seed)
    expected = [run_one(reference, sequence) for sequence in cases.sequences]
    errors = _float32_error(single, cases.sequences, expected)
    if max(errors.values()) > TOLERANCE / 3:
        raise AssertionError(f"{folder.name}: float32 is off by {errors}: too ill-conditioned for a test")
    tensors, probes, described = {}, {}, []
    for index, (sequence, outputs) in enumerate(zip(cases.sequences, expected)):
        packed, rows = _pack(outputs, sequence, index, probes, generator)
        tensors |= packed
        entry = {"name": sequence.name, "ids": sequence.ids, "tokenTypes": sequence.token_types, "rows": rows}
        described.append({key: value for key, value in entry.items() if value is not None})
    tensors |= {f"probe.{name}": probe for name, probe in probes.items()}
    save_file(
        {name: np.ascontiguousarray(tensor, np.float64) for name, tensor in tensors.items()},
        folder / "expected.safetensors",
    )
    header = {**facts, "outputs": reference.outputs, "transformers": transformers.__version__}
    header["transformersFloat32Error"] = {name: float(f"{error:.0e}") for name, error in errors.items()}
    write_cases(folder / "cases.json", header, cases.batches, described)
    return errors


def write_cases(path: Path, header: dict, batches: dict, sequences: list[dict]) -> None:
    """cases.json, one line a field and a sequence."""
    lines = [f'"{key}": {json.dumps(value)}' for key, value in header.items()]
    rows = ",\n".join("  " + json.dumps(entry, separators=(",", ":")) for entry in sequences)
    lines += [f'"batches": {json.dumps(batches)}', f'"sequences": [\n{rows}\n]']
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
