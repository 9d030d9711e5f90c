"""The small files of a sentence-transformers directory, in the old and the new form."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

OLD_TYPES = {name: f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Dense", "Normalize")}
NEW_TYPES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}

# In the order in which the pooled vectors are concatenated when several of the old booleans are set.
OLD_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def pooling_config(modes: list[str], width: int, old: bool, include_prompt: bool | None) -> dict:
    if old:
        config = {"word_embedding_dimension": width} | {key: mode in modes for mode, key in OLD_KEYS.items()}
    else:
        config = {"embedding_dimension": width, "pooling_mode": modes[0] if len(modes) == 1 else modes}
    return config if include_prompt is None else config | {"include_prompt": include_prompt}


def dense_weights(in_features: int, out_features: int, bias: bool, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = {"linear.weight": torch.randn(out_features, in_features, generator=generator) * in_features**-0.5}
    if bias:
        weights["linear.bias"] = 0.3 * torch.randn(out_features, generator=generator)
    return weights


def write_modules(folder: Path, modules: list[tuple[str, str]], old: bool) -> None:
    types = OLD_TYPES if old else NEW_TYPES
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": types[kind]}
        for index, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)


def write_dense(folder: Path, weights: dict[str, torch.Tensor], activation: str, old: bool) -> None:
    out_features, in_features = weights["linear.weight"].shape
    config = {"in_features": in_features, "out_features": out_features, "bias": "linear.bias" in weights}
    config["activation_function"] = activation
    if not old:
        config |= {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    write_json(folder / "config.json", config)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
