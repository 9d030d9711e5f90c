"""Bodies that only embedding models are made of, two to four layers of 32, stored as bfloat16."""

import torch
import transformers as hf

from generator import jina_v3, nomic_moe
from generator.fixtures import Fixture

LENGTHS = (1, 17, 3, 150)
BFLOAT16 = {"dtype": torch.bfloat16}
PAD_ONE = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
JINA = {"vocab_size": 60, "hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 44}
JINA |= {**PAD_ONE, "max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}


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


def _nomic_moe() -> Fixture:
    """Five experts, of which the layers 1 and 3 choose two."""
    sizes = {"vocab_size": 59, "n_embd": 36, "n_head": 3, "n_layer": 4, "n_inner": 44}
    config = nomic_moe.config(**sizes, num_experts=5, moe_every_n_layers=2)
    return Fixture("nomic-moe", config, nomic_moe.NomicBertModel, 651, lengths=LENGTHS, storage=BFLOAT16)


def _jina(name: str, task: str | None = None) -> Fixture:
    """One checkpoint with its adapters, run without any or with one of them."""
    config = hf.JinaEmbeddingsV3Config(**JINA)
    storage = {
        **BFLOAT16,
        "edit_config": jina_v3.embeddings_config,
        "edit_tensors": jina_v3.adapted_tensors(seed=646),
    }
    return Fixture(
        name,
        config,
        hf.JinaEmbeddingsV3Model,
        645,
        outputs=["last_hidden_state", "pooler_output"],
        lengths=LENGTHS,
        special=(0, 2),
        storage=storage,
        prepare_reference=jina_v3.apply_adapter(task, seed=646) if task else None,
        read_back=False,
        facts={"adapter": task} if task else {},
    )


def _jina_native() -> Fixture:
    config = hf.JinaEmbeddingsV3Config(**JINA)
    model = hf.JinaEmbeddingsV3Model
    outputs = ["last_hidden_state", "pooler_output"]
    return Fixture("jina-v3", config, model, 644, outputs, LENGTHS, special=(0, 2), storage=BFLOAT16)


def fixtures(tokenizers) -> list[Fixture]:
    near = {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20}
    return [
        _t5("t5", 641, num_heads=3, d_kv=12),
        _t5("t5-gated", 642, num_heads=4, d_kv=16, feed_forward_proj="gated-gelu", **near),
        _nomic_moe(),
        _jina_native(),
        _jina("jina-v3-remote"),
        _jina("jina-v3-query", jina_v3.TASKS[0]),
        _jina("jina-v3-matching", jina_v3.TASKS[1]),
    ]
