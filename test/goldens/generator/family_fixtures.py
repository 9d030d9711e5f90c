"""Bodies of the other encoder families, one to four layers of 32, stored as bfloat16."""

import torch
import transformers as hf

from generator import jina_bert, older_layouts
from generator.fixtures import Fixture

LENGTHS = (1, 17, 3, 150)
SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 44}
ABSOLUTE = {**SMALL, "max_position_embeddings": 152}
ROTARY = {**SMALL, "max_position_embeddings": 2048}
PAD_ONE = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
PAD_ZERO = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
POOLED = ["last_hidden_state", "pooler_output"]


def _body(name: str, prefix: str, seed: int, options: dict, **more) -> Fixture:
    storage = {"dtype": torch.bfloat16, **more.pop("storage", {})}
    config = getattr(hf, f"{prefix}Config")(**options)
    return Fixture(
        name, config, getattr(hf, f"{prefix}Model"), seed, **{"lengths": LENGTHS, "storage": storage, **more}
    )


def _absolute() -> list[Fixture]:
    distil = {
        "vocab_size": 60,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 44,
        "max_position_embeddings": 152,
    }
    albert = {**ABSOLUTE, "embedding_size": 20, "num_hidden_layers": 4}
    typed = {"token_types": 2}
    mpnet = {**ABSOLUTE, **PAD_ONE, "max_position_embeddings": 154}
    return [
        _body("distilbert", "DistilBert", 501, distil),
        _body("albert", "Albert", 502, {**albert, "num_hidden_groups": 2}, outputs=POOLED, **typed),
        _body("albert-inner-groups", "Albert", 503, {**albert, "inner_group_num": 2}, outputs=POOLED, **typed),
        _body("electra", "Electra", 504, {**ABSOLUTE, "embedding_size": 20}, **typed),
        _body(
            "electra-no-projection", "Electra", 505, {**ABSOLUTE, "embedding_size": 32, "num_hidden_layers": 1}, **typed
        ),
        _body("mpnet", "MPNet", 506, mpnet, outputs=POOLED, special=(0, 2)),
        _body(
            "ernie", "Ernie", 507, {**ABSOLUTE, "use_task_id": True, "task_type_vocab_size": 3}, outputs=POOLED, **typed
        ),
        _body("ernie-no-task", "Ernie", 508, {**ABSOLUTE, "num_hidden_layers": 1}, outputs=POOLED, **typed),
    ]


def _disentangled() -> list[Fixture]:
    relative = {**ABSOLUTE, "relative_attention": True, "position_biased_input": False, "layer_norm_eps": 1e-7}
    v3 = {
        **relative,
        "pos_att_type": "p2c|c2p",
        "position_buckets": 16,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    }
    both = {**relative, "pos_att_type": ["c2p", "p2c"]}
    biased = {"position_biased_input": True, "type_vocab_size": 2}
    conv = {"conv_kernel_size": 3, "conv_act": "gelu"}
    plain = {**ABSOLUTE, **biased, "num_hidden_layers": 1, "layer_norm_eps": 1e-7}
    return [
        _body("deberta", "Deberta", 521, {**relative, "pos_att_type": "c2p|p2c"}),
        _body("deberta-short-range", "Deberta", 522, {**both, **biased, "max_relative_positions": 24}, token_types=2),
        _body("deberta-c2p", "Deberta", 523, {**relative, "pos_att_type": ["c2p"], "num_hidden_layers": 1}),
        _body("deberta-v2-absolute", "DebertaV2", 524, {**plain, "relative_attention": False}, token_types=2),
        _body("deberta-v2-own-keys", "DebertaV2", 525, {**both, **biased, "max_relative_positions": 32}, token_types=2),
        _body("deberta-v2-conv", "DebertaV2", 526, {**v3, **conv}),
        _body("deberta-v2-conv-five", "DebertaV2", 527, {**v3, "conv_kernel_size": 5, "conv_act": "tanh", "conv_groups": 4, "num_hidden_layers": 1}),
        _body("deberta-v3", "DebertaV2", 528, v3),
        _body("deberta-narrow", "Deberta", 520, {**both, **biased, "embedding_size": 20, "num_hidden_layers": 1}, token_types=2),
        _body("deberta-v2-conv-narrow", "DebertaV2", 530, {**v3, **conv, "embedding_size": 12, "num_hidden_layers": 1}),
        _body("deberta-v3-p2c", "DebertaV2", 529, {**v3, "pos_att_type": ["p2c"], "num_hidden_layers": 1}),
    ]  # fmt: skip


def _rotary() -> list[Fixture]:
    modern = {
        **ROTARY,
        **PAD_ZERO,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "num_hidden_layers": 4,
        "intermediate_size": 36,
    }
    modern |= {"local_attention": 16, "global_attn_every_n_layers": 3}
    biased = {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "num_hidden_layers": 2}
    nomic = {**ROTARY, "layer_norm_eps": 1e-12}
    gte = {**ROTARY, "type_vocab_size": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 160000.0}}
    euro = {**ROTARY, **PAD_ZERO, "mask_token_id": 4}
    euro_heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    remote_gte = {"edit_config": older_layouts.new_config, "edit_tensors": older_layouts.new_tensors}
    arctic = {"edit_config": older_layouts.arctic_config, "edit_tensors": older_layouts.new_tensors}
    remote_nomic = {"edit_config": older_layouts.nomic_config, "edit_tensors": older_layouts.nomic_tensors}
    reread = {"read_back": False}
    return [
        _body("modernbert", "ModernBert", 541, modern),
        _body("modernbert-biases", "ModernBert", 542, {**modern, **biased}),
        _body(
            "modernbert-v4-config",
            "ModernBert",
            543,
            modern,
            storage={"edit_config": older_layouts.modernbert_v4_config},
        ),
        _body("nomic-bert", "NomicBert", 544, nomic, token_types=2),
        _body("nomic-bert-remote", "NomicBert", 544, nomic, token_types=2, storage=remote_nomic, **reread),
        _body("gte", "Gte", 545, gte, token_types=2),
        _body("gte-no-types", "Gte", 546, {**gte, "type_vocab_size": 0, "num_hidden_layers": 1}),
        _body(
            "gte-new-ntk",
            "Gte",
            547,
            gte,
            token_types=2,
            storage=remote_gte,
            prepare_reference=older_layouts.apply_ntk,
            **reread,
        ),
        _body("gte-arctic", "Gte", 549, {**gte, "type_vocab_size": 1}, storage=arctic, **reread),
        _body("eurobert", "EuroBert", 548, {**euro, **euro_heads}),
    ]


def _alibi() -> list[Fixture]:
    """Six heads are no power of two, four are."""
    keys = {"position_embedding_type": "alibi", "emb_pooler": "mean", "max_position_embeddings": 8192}
    storage = {"dtype": torch.bfloat16, "edit_config": jina_bert.remote_config}

    def body(name: str, seed: int, **options) -> Fixture:
        config = hf.BertConfig(**{**SMALL, **keys, **options})
        model = jina_bert.JinaBertModel
        return Fixture(name, config, model, seed, lengths=LENGTHS, storage=storage, token_types=2)

    return [
        body("jina-bert", 561, hidden_size=48, num_attention_heads=6, feed_forward_type="geglu"),
        body("jina-bert-reglu", 562, num_attention_heads=4, num_hidden_layers=1, feed_forward_type="reglu"),
    ]


def fixtures(tokenizers) -> list[Fixture]:
    return _absolute() + _disentangled() + _rotary() + _alibi()
