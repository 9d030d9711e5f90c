"""The same weights as older files hold them: names, packed matrices and config keys of remote code and of v4.

Sources: config.json and tensor names of nomic-ai/nomic-embed-text-v1.5 and Alibaba-NLP/gte-*-v1.5; the renaming
tables of transformers 5 (conversion_mapping.py), read backwards.
"""

import re

import torch

NTK_FACTOR = 2.0


def _without(config: dict, *keys: str) -> dict:
    return {key: value for key, value in config.items() if key not in keys}


def modernbert_v4_config(config: dict) -> dict:
    """transformers 4: theta by two keys and the pattern by an integer."""
    rope = config["rope_parameters"]
    old = {
        "global_rope_theta": rope["full_attention"]["rope_theta"],
        "local_rope_theta": rope["sliding_attention"]["rope_theta"],
        "global_attn_every_n_layers": 3,
        "position_embedding_type": "absolute",
        "transformers_version": "4.47.0.dev0",
    }
    return _without(config, "rope_parameters", "layer_types") | old


def nomic_config(config: dict) -> dict:
    """config.json of the remote code: GPT-2's names for the sizes."""
    return {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
        "causal": False,
        "layer_norm_epsilon": config["layer_norm_eps"],
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "model_type": "nomic_bert",
        "n_embd": config["hidden_size"],
        "n_head": config["num_attention_heads"],
        "n_inner": config["intermediate_size"],
        "n_layer": config["num_hidden_layers"],
        "n_positions": config["max_position_embeddings"],
        "pad_vocab_size_multiple": 2,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": config["rope_parameters"]["rope_theta"],
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "type_vocab_size": config["type_vocab_size"],
        "use_rms_norm": False,
        "vocab_size": config["vocab_size"],
    }


def packed(tensors: dict[str, torch.Tensor], parts: tuple[str, ...], whole: str) -> dict[str, torch.Tensor]:
    """Concatenates the tensors named `...parts[i]...` along the rows into `...whole...`."""
    result = {}
    for name, tensor in tensors.items():
        part = next((part for part in parts if part in name), None)
        if part is None:
            result[name] = tensor
        elif part == parts[0]:
            result[name.replace(part, whole)] = torch.cat([tensors[name.replace(part, other)] for other in parts])
    return result


def renamed(tensors: dict[str, torch.Tensor], rules: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    result = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    return result


QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def nomic_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    rules = [
        (r"^layers", "encoder.layers"),
        (r"^embeddings\.LayerNorm", "emb_ln"),
        (r"self_attn\.o_proj", "attn.out_proj"),
        (r"up_proj", "fc11"),
        (r"gate_proj", "fc12"),
        (r"down_proj", "fc2"),
        (r"post_attention_layernorm", "norm1"),
        (r"post_mlp_layernorm", "norm2"),
    ]
    return renamed(packed(tensors, QKV, "attn.Wqkv"), rules)


def new_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    rules = [
        (r"^layers", "encoder.layer"),
        (r"self_attn\.o_proj", "attention.o_proj"),
        (r"post_attention_layernorm", "attn_ln"),
        (r"post_mlp_layernorm", "mlp_ln"),
    ]
    joined = packed(tensors, QKV, "attention.qkv_proj")
    return renamed(packed(joined, ("mlp.up_proj", "mlp.gate_proj"), "mlp.up_gate_proj"), rules)


def new_head_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder below `new.`, beside a head."""
    body = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    head = {name: value for name, value in tensors.items() if not name.startswith("model.")}
    return head | {f"new.{name}": value for name, value in new_tensors(body).items()}


def new_head_config(config: dict) -> dict:
    """config.json of gte-multilingual-reranker and of a tagger; no NTK scaling."""
    [purpose] = [name.removeprefix("Gte") for name in config["architectures"]]
    code = "Alibaba-NLP/new-impl--"
    return new_config(config) | {
        "architectures": [f"New{purpose}"],
        "auto_map": {"AutoConfig": f"{code}configuration.NewConfig", "AutoModel": f"{code}modeling.NewModel"}
        | {f"AutoModel{purpose}": f"{code}modeling.New{purpose}"},
        "rope_scaling": None,
    }


def arctic_config(config: dict) -> dict:
    """config.json of snowflake-arctic-embed-m-v2: the code lies in its repository, booleans are strings."""
    code = "hf_alibaba_nlp_gte"
    return new_config(config) | {
        "architectures": ["GteModel"],
        "auto_map": {"AutoConfig": f"configuration_{code}.GteConfig", "AutoModel": f"modeling_{code}.GteModel"},
        "matryoshka_dimensions": [256],
        "model_type": "gte",
        "rope_scaling": None,
        "use_memory_efficient_attention": "true",
    }


def new_config(config: dict) -> dict:
    """config.json of Alibaba's remote code, NTK scaling included."""
    kept = _without(
        config, "rope_parameters", "dtype", "attention_probs_dropout_prob", "head_dim", "transformers_version"
    )
    return kept | {
        "architectures": ["NewModel"],
        "auto_map": {"AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig", "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_type": "layer_norm",
        "logn_attention_clip1": False,
        "logn_attention_scale": False,
        "model_type": "new",
        "pack_qkv": True,
        "position_embedding_type": "rope",
        "rope_scaling": {"factor": NTK_FACTOR, "type": "ntk"},
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "torch_dtype": "bfloat16",
        "unpad_inputs": "true",
        "use_memory_efficient_attention": "false",
    }  # fmt: skip


def apply_ntk(model) -> None:
    """Fixed NTK scaling of the remote code: base x factor, then every frequency / factor^(2 / dim)."""
    rotary = model.rotary_emb
    rotary.inv_freq = ntk_frequencies(model.config, rotary.inv_freq.dtype)


def ntk_frequencies(config, dtype: torch.dtype) -> torch.Tensor:
    dim = config.hidden_size // config.num_attention_heads
    base = config.rope_parameters["rope_theta"] * NTK_FACTOR
    exponents = torch.arange(0, dim, 2, dtype=torch.float64) / dim
    return (base**-exponents / NTK_FACTOR ** (2 / dim)).to(dtype)
