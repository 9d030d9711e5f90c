"""Decoder bodies used as encoders, with every rope scaling, one to three layers of 32 in bfloat16."""

import torch
import transformers as hf

from generator.fixtures import Fixture

LENGTHS = (1, 17, 3, 150)
SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SMALL |= {"intermediate_size": 44, "head_dim": 16, "max_position_embeddings": 2048}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
THETA = {"rope_theta": 10000.0}

# Trained on 64 positions, so that the length 150 is beyond and 17 within.
ROPES = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn-tuned": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.3,
    },
    "longrope": {
        "rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 64,
        "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.0, 2.5],
        "long_factor": [1.0, 1.5, 2.2, 3.0, 4.5, 7.0, 9.0, 12.0],
    },
    "llama3": {
        "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    },
}  # fmt: skip


def _body(name: str, prefix: str, seed: int, **options) -> Fixture:
    model_class = getattr(hf, f"{prefix}Model")
    config = getattr(hf, f"{prefix}Config")(**{**SMALL, **IDS, "use_cache": False, **options})
    return Fixture(name, config, model_class, seed, lengths=LENGTHS, storage={"dtype": torch.bfloat16})


def _rope_fixtures() -> list[Fixture]:
    found = []
    for offset, (name, scaling) in enumerate(ROPES.items()):
        positions = 64 if name == "dynamic" else 256
        options = {
            "num_hidden_layers": 1,
            "max_position_embeddings": positions,
            "rope_parameters": {**THETA, **scaling},
        }
        found.append(_body(f"rope-{name}", "Qwen3", 620 + offset, **options))
    return found


def fixtures(tokenizers) -> list[Fixture]:
    windowed = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    gemma = {
        "num_hidden_layers": 3,
        "sliding_window": 16,
        "query_pre_attn_scalar": 24,
        "use_bidirectional_attention": True,
    }
    gemma |= {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "num_key_value_heads": 1}
    scaled = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}}
    scaled["sliding_attention"] = {"rope_type": "default", "rope_theta": 1e4}
    one_million = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    return [
        _body("qwen3", "Qwen3", 601, **one_million),
        _body("qwen3-window-bias", "Qwen3", 602, attention_bias=True, **windowed, **one_million),
        _body("mistral", "Mistral", 603, sliding_window=16),
        _body("mistral-no-window", "Mistral", 604, sliding_window=None, num_hidden_layers=1),
        _body("gemma3-bidirectional", "Gemma3Text", 605, **gemma),
        _body("gemma3-scaled", "Gemma3Text", 606, **gemma, rope_parameters=scaled),
        *_rope_fixtures(),
    ]
