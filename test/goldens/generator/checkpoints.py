"""Random checkpoints whose every weight matters, written as Hugging Face directories."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

Tensors = dict[str, torch.Tensor]

EMBEDDING_STD = 0.05  # small, as in trained models, so that the epsilon of the embedding norm shows
LINEAR_GAIN = 1.2  # std = gain / sqrt(fan in): attention scores of std about 1.4, softmax neither flat nor one-hot
NORM_SPREAD = 0.4
BIAS_STD = 0.25


def is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Draws every parameter anew: norms around one, biases around zero, no row left at zero.

    A norm whose weight is stored as an offset from one (Gemma) starts at zero and so stays around zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                if parameter.dim() < 2:
                    if is_norm(module) and name.endswith("weight"):
                        centre = parameter.mean().round()
                        parameter.copy_(centre + NORM_SPREAD * noise.clamp(-1.5, 1.5))
                    else:
                        parameter.copy_(BIAS_STD * noise)
                elif isinstance(module, nn.Embedding):
                    parameter.copy_(EMBEDDING_STD * noise)
                else:
                    fan_in = parameter[0].numel()
                    parameter.copy_(LINEAR_GAIN * fan_in**-0.5 * noise)
    return model.eval()


def stored_tensors(model: nn.Module, dtype: torch.dtype) -> Tensors:
    """The state dict as it goes to disk: tied tensors once, floating point in `dtype`."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name in tied:
            continue
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        tensors[name] = tensor.contiguous().clone()
    return tensors


def _write_shards(tensors: Tensors, folder: Path, shards: int) -> None:
    names = sorted(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard::shards]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def write(
    model: nn.Module,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    edit_tensors: Callable[[Tensors], Tensors] | None = None,
    shards: int = 1,
    extra: Tensors | None = None,
    edit_config: Callable[[dict], dict] | None = None,
) -> None:
    """Writes config.json and the weights of `model` to `folder`.

    `edit_tensors` renames and packs, `extra` adds tensors that a loader has to ignore, `edit_config` changes
    config.json after transformers wrote it (keys of older versions).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = stored_tensors(model, dtype)
    if edit_tensors:
        tensors = edit_tensors(tensors)
    tensors |= extra or {}
    if shards > 1:
        _write_shards(tensors, folder, shards)
    else:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads(model.config.to_json_string(use_diff=False))
    config = {key: value for key, value in config.items() if value is not None and not key.startswith("_")}
    config |= {"architectures": [type(model).__name__], "dtype": str(dtype).removeprefix("torch.")}
    if edit_config:
        config = edit_config(config)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
