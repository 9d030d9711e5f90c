"""NomicBERT with experts (nomic-embed-text-v2-moe), which transformers has no class for: a reference of our own.

Written from the model's paper (arXiv:2502.07972, section 3), from RoFormer (arXiv:2104.09864) and from the config
keys and tensor names of nomic-ai/nomic-embed-text-v2-moe. Post-norm as BERT, rope on all of a head (halves, not
neighbours), plain GELU layers; in the second of every `moe_every_n_layers` layers softmax(router x) over all experts
weighs the `moe_top_k` experts of the largest scores, unscaled, and one bias is added after their sum. An expert is
GELU(x W1^T) W2, both matrices being stored as [experts * inner, hidden].
"""

import math

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

CODE = "nomic-ai/nomic-bert-2048"


class NomicMoeConfig(PreTrainedConfig):
    model_type = "nomic_bert"


def config(**options) -> NomicMoeConfig:
    """config.json of nomic-embed-text-v2-moe, in small."""
    common = {
        "activation_function": "gelu",
        "auto_map": {"AutoModel": f"{CODE}--modeling_hf_nomic_bert.NomicBertModel"},
        "causal": False,
        "expert_choice_router": False,
        "ffn_div": 1,
        "layer_norm_epsilon": 1e-5,
        "mlp_fc1_bias": True,
        "mlp_fc2_bias": True,
        "moe_impl": "megablocks",
        "moe_normalize_expert_weights": False,
        "moe_top_k": 2,
        "n_positions": 2048,
        "num_shared_experts": 0,
        "pad_vocab_size_multiple": 4,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": True,
        "rotary_emb_base": 10000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "type_vocab_size": 1,
    }
    return NomicMoeConfig(**common, **options)


class Router(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(config.n_embd, config.num_experts, bias=False)


class ExpertMatrices(nn.Module):
    def __init__(self, config):
        super().__init__()
        rows = config.num_experts * config.n_inner
        self.w1 = nn.Parameter(torch.zeros(rows, config.n_embd))
        self.w2 = nn.Parameter(torch.zeros(rows, config.n_embd))


class Experts(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mlp = ExpertMatrices(config)
        self.bias = nn.Parameter(torch.zeros(config.n_embd))


class RoutedFeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.router, self.experts = Router(config), Experts(config)
        self.count, self.chosen = config.num_experts, config.moe_top_k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.router.layer(x).softmax(-1)
        kept = torch.zeros_like(scores).scatter(-1, scores.topk(self.chosen).indices, 1.0) * scores
        ups, downs = (matrix.chunk(self.count) for matrix in (self.experts.mlp.w1, self.experts.mlp.w2))
        # A product an expert, as onnxruntime quantizes them.
        results = (functional.gelu(x @ up.T) @ down for up, down in zip(ups, downs))
        return sum(kept[..., e : e + 1] * result for e, result in enumerate(results)) + self.experts.bias


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.n_embd, config.n_inner), nn.Linear(config.n_inner, config.n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.base = config.n_head, config.rotary_emb_base
        self.Wqkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out_proj = nn.Linear(config.n_embd, config.n_embd)

    def _turn(self, x: torch.Tensor) -> torch.Tensor:
        """Column i of a head and column i + d / 2 turn by position * base^(-2i / d)."""
        half = x.shape[-1] // 2
        frequencies = self.base ** (-torch.arange(half, dtype=x.dtype) / half)
        angles = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * frequencies
        first, second = x[..., :half], x[..., half:]
        cosine, sine = angles.cos(), angles.sin()
        return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.Wqkv(x).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in parts)
        query, key = self._turn(query), self._turn(key)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return self.out_proj((scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2))


class Block(nn.Module):
    def __init__(self, config, index: int):
        super().__init__()
        self.attn = Attention(config)
        is_routed = index % config.moe_every_n_layers == 1
        self.mlp = RoutedFeedForward(config) if is_routed else FeedForward(config)
        self.norm1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.norm2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.mlp(x))


class NomicBertModel(PreTrainedModel):
    """Tensor names are those of the published checkpoint, hence the nesting."""

    config_class = NomicMoeConfig
    base_model_prefix = "model"

    def __init__(self, config: NomicMoeConfig):
        super().__init__(config)
        rows = math.ceil(config.vocab_size / config.pad_vocab_size_multiple) * config.pad_vocab_size_multiple
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(rows, config.n_embd),
                "token_type_embeddings": nn.Embedding(config.type_vocab_size, config.n_embd),
            }
        )
        self.emb_ln = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        layers = nn.ModuleList([Block(config, index) for index in range(config.n_layer)])
        self.encoder = nn.ModuleDict({"layers": layers})
        self.post_init()

    def _init_weights(self, module) -> None:
        """The generator draws all weights itself."""

    def forward(self, input_ids: torch.Tensor, **_) -> BaseModelOutput:
        types = self.embeddings["token_type_embeddings"](torch.zeros_like(input_ids))
        x = self.emb_ln(self.embeddings["word_embeddings"](input_ids) + types)
        for layer in self.encoder["layers"]:
            x = layer(x)
        return BaseModelOutput(last_hidden_state=x)
