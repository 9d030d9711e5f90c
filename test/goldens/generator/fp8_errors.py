"""What e4m3 products cost in themselves, which padless's own errors are held to.

Every linear layer of the encoder rounds its weight, a scale for each output channel, and its input, a scale for each
row, to float8_e4m3fn; all else stays float32. Poolers and task heads are not rounded.
"""

import json
from functools import partial
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

from generator import error_file, fixtures, references
from generator.half_precision import stored_errors

LARGEST = torch.finfo(torch.float8_e4m3fn).max


def _rounded(values: torch.Tensor) -> torch.Tensor:
    scales = values.abs().amax(-1, keepdim=True).clamp_min(1e-30) / LARGEST
    return (values / scales).to(torch.float8_e4m3fn).to(values.dtype) * scales


def _round_linear_layers(body: torch.nn.Module) -> None:
    for name, module in body.named_modules():
        if isinstance(module, torch.nn.Linear) and "pooler" not in name:
            weight = _rounded(module.weight.detach())
            module.forward = lambda x, weight=weight, bias=module.bias: torch.nn.functional.linear(
                _rounded(x), weight, bias
            )


def _errors(fixture: "fixtures.Fixture", folder: Path) -> dict[str, float]:
    reference = fixtures.load_reference(fixture, folder / "checkpoint", torch.float32)
    _round_linear_layers(reference.model.base_model)
    cases = json.loads((folder / "cases.json").read_text())
    expected = load_file(folder / "expected.safetensors")
    return stored_errors(partial(references.run_one, reference), reference.outputs, cases, expected)


def write(all_fixtures: "list[fixtures.Fixture]", models: Path, path: Path, only: str | None) -> int:
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    return error_file.update(path, versions, all_fixtures, lambda fixture: _errors(fixture, models / fixture.name), only)
