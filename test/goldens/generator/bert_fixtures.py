"""BERT, RoBERTa, XLM-RoBERTa and CamemBERT checkpoints, and the ways in which such files differ."""

import torch
from transformers import BertConfig, BertModel, CamembertConfig, CamembertModel
from transformers import RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

from generator.fixtures import SHORT_LENGTHS, Fixture
from generator.references import Sequence

NO_POOLER = {"add_pooling_layer": False}
POOLED = ["last_hidden_state", "pooler_output"]


def bert_config(**changes) -> BertConfig:
    """A small BERT for the variants: 2 layers of 48, no tokenizer, at most 160 positions."""
    small = {"vocab_size": 120, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    small |= {"intermediate_size": 100, "max_position_embeddings": 160, "layer_norm_eps": 1e-12}
    return BertConfig(**(small | changes))


def _main(tokenizers) -> list[Fixture]:
    odd = {"hidden_size": 96, "num_attention_heads": 3, "intermediate_size": 200, "num_hidden_layers": 3}
    roberta_like = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    roberta_like |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    size = {name: tokenizer.get_vocab_size() for name, tokenizer in tokenizers.items()}
    return [
        Fixture(
            "bert", BertConfig(vocab_size=size["bert"], **odd), BertModel, 101, POOLED, token_types=2, tokenizer="bert"
        ),
        Fixture(
            "roberta",
            RobertaConfig(
                vocab_size=size["roberta"], **(odd | {"hidden_size": 72, "intermediate_size": 154}), **roberta_like
            ),
            RobertaModel,
            102,
            model_options=NO_POOLER,
            special=(0, 2),
            tokenizer="roberta",
            storage={"dtype": torch.bfloat16},
            extra_sequences=[Sequence("pad id inside", [0, 77, 1, 1, 78, 79, 1, 80, 2])],
        ),
        Fixture(
            "xlm-roberta",
            XLMRobertaConfig(vocab_size=size["xlm-roberta"], **(odd | {"num_hidden_layers": 2}), **roberta_like),
            XLMRobertaModel,
            103,
            POOLED,
            special=(0, 2),
            tokenizer="xlm-roberta",
            storage={"dtype": torch.float16},
        ),
        Fixture(
            "camembert",
            CamembertConfig(
                vocab_size=size["camembert"],
                **(
                    odd
                    | {"hidden_size": 80, "num_attention_heads": 5, "intermediate_size": 136, "num_hidden_layers": 2}
                ),
                **(roberta_like | {"bos_token_id": 5, "eos_token_id": 6}),
            ),
            CamembertModel,
            104,
            model_options=NO_POOLER,
            special=(5, 6),
            first_id=7,
            tokenizer="camembert",
            storage={"dtype": torch.bfloat16},
        ),
    ]


def _old_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    def old(name: str) -> str:
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    return {old(name): tensor for name, tensor in tensors.items()}


def _old_config(config: dict) -> dict:
    """config.json as transformers 2 to 4 wrote it."""
    kept = {
        key: value
        for key, value in config.items()
        if key not in ("dtype", "transformers_version", "chunk_size_feed_forward")
    }
    old = {"architectures": ["BertForMaskedLM"], "gradient_checkpointing": False, "position_embedding_type": "absolute"}
    return kept | old | {"transformers_version": "4.6.0.dev0"}


def _old_extras() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "bert.embeddings.position_ids": torch.arange(160).unsqueeze(0),
        "cls.seq_relationship.weight": torch.randn(2, 48, generator=generator),
        "cls.seq_relationship.bias": torch.randn(2, generator=generator),
    }


def _variant(name: str, seed: int, config: BertConfig | None = None, **storage) -> Fixture:
    lengths = SHORT_LENGTHS
    return Fixture(name, config or bert_config(), BertModel, seed, POOLED, lengths, token_types=2, storage=storage)


def fixtures(tokenizers) -> list[Fixture]:
    old = {"edit_tensors": _old_names, "extra": _old_extras(), "edit_config": _old_config}
    return _main(tokenizers) + [
        _variant("bert-old-names", 111, **old),
        _variant("bert-sharded", 112, shards=3, dtype=torch.bfloat16),
        _variant("bert-float16", 113, dtype=torch.float16),
        _variant("bert-bfloat16", 114, dtype=torch.bfloat16),
        _variant("bert-gelu-new", 115, bert_config(hidden_act="gelu_new"), dtype=torch.bfloat16),
        _variant("bert-relu", 116, bert_config(hidden_act="relu", layer_norm_eps=1e-5), dtype=torch.bfloat16),
        _variant("bert-silu", 117, bert_config(hidden_act="silu", layer_norm_eps=1e-6), dtype=torch.bfloat16),
        _variant(
            "bert-head-64",
            118,
            bert_config(hidden_size=128, num_attention_heads=2, num_hidden_layers=1),
            dtype=torch.bfloat16,
        ),
        _variant(
            "bert-head-16",
            119,
            bert_config(hidden_size=32, num_attention_heads=2, intermediate_size=72),
            dtype=torch.bfloat16,
        ),
        _variant(
            "bert-head-15",
            120,
            bert_config(hidden_size=60, num_attention_heads=4, intermediate_size=77),
            dtype=torch.bfloat16,
        ),
        _variant(
            "bert-24-layers",
            122,
            bert_config(hidden_size=32, num_attention_heads=1, intermediate_size=64, num_hidden_layers=24),
            dtype=torch.bfloat16,
        ),
        _variant(
            "bert-one-layer",
            121,
            bert_config(num_hidden_layers=1, num_attention_heads=1, type_vocab_size=3),
            dtype=torch.bfloat16,
        ),
    ]
