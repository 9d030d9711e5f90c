"""Bodies that only embedding models are made of, two to four layers of 32, stored as bfloat16."""

import torch
import transformers as hf

from generator.fixtures import Fixture

LENGTHS = (1, 17, 3, 150)
BFLOAT16 = {"dtype": torch.bfloat16}


def _scale_scores(model: torch.nn.Module) -> None:
    """Queries as T5 initialises them, since nothing divides the scores; a bias that shows among them."""
    for name, parameter in model.named_parameters():
        if name.endswith("SelfAttention.q.weight"):
            parameter.mul_(model.config.d_kv**-0.5)
        elif "relative_attention_bias" in name:
            parameter.mul_(20)


def _t5(name: str, seed: int, **options) -> Fixture:
    sizes = {"vocab_size": 60, "d_model": 32, "num_layers": 2, "d_ff": 44, "dropout_rate": 0.0}
    config = hf.T5Config(**{**sizes, **options})
    return Fixture(
        name,
        config,
        hf.T5EncoderModel,
        seed,
        lengths=LENGTHS,
        special=(2, 1),
        storage=BFLOAT16,
        adjust=_scale_scores,
    )


def fixtures(tokenizers) -> list[Fixture]:
    near = {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20}
    return [
        _t5("t5", 641, num_heads=3, d_kv=12),
        _t5("t5-gated", 642, num_heads=4, d_kv=16, feed_forward_proj="gated-gelu", **near),
    ]
