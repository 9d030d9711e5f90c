"""JinaBERT v2, which transformers has no class for: a reference of our own, from published formulas.

Written from the paper of the models (arXiv:2310.19923, section 3), of ALiBi (arXiv:2108.12409; slopes for head counts
that are no power of two as in its released code), of GLU variants (arXiv:2002.05202), and from the config keys and
tensor names of jinaai/jina-embeddings-v2-base-en. Post-norm as BERT; softmax(q k^T / sqrt(d) - slope * |i - j|) v;
feed-forward norm(x + (act(x W_gate) * (x W_up)) W_down + b), gate and up being the halves of `gated_layers`.
"""

import math

import torch
from torch import nn
from transformers import BertConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

CODE = "jinaai/jina-bert-implementation"
REMOTE = {
    "AutoConfig": f"{CODE}--configuration_bert.JinaBertConfig",
    "AutoModel": f"{CODE}--modeling_bert.JinaBertModel",
}


def slopes(heads: int) -> list[float]:
    """2^(-8 i / n) for a power of two; otherwise that of the power below, and every other one of twice as many."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    if power == heads:
        return first
    return first + slopes(2 * power)[0::2][: heads - power]


class Block(nn.Module):
    """Tensor names are those of the published checkpoints, hence the nesting."""

    def __init__(self, config: BertConfig):
        super().__init__()
        hidden, inner, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")}),
                "output": nn.ModuleDict({"dense": nn.Linear(hidden, hidden), "LayerNorm": nn.LayerNorm(hidden, eps)}),
            }
        )
        self.mlp = nn.ModuleDict(
            {
                "gated_layers": nn.Linear(hidden, 2 * inner, bias=False),
                "wo": nn.Linear(inner, hidden),
                "layernorm": nn.LayerNorm(hidden, eps),
            }
        )
        self.heads = config.num_attention_heads
        self.activation = {"geglu": nn.GELU(), "reglu": nn.ReLU()}[config.feed_forward_type]

    def attend(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        def split(name):
            return self.attention["self"][name](x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)

        query, key, value = map(split, ("query", "key", "value"))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
        return (scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        output = self.attention["output"]
        x = output["LayerNorm"](x + output["dense"](self.attend(x, bias)))
        gate, up = self.mlp["gated_layers"](x).chunk(2, dim=-1)
        return self.mlp["layernorm"](x + self.mlp["wo"](self.activation(gate) * up))


class JinaBertModel(PreTrainedModel):
    config_class = BertConfig
    base_model_prefix = "bert"

    def __init__(self, config: BertConfig):
        super().__init__(config)
        hidden = config.hidden_size
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config.vocab_size, hidden),
                "token_type_embeddings": nn.Embedding(config.type_vocab_size, hidden),
                "LayerNorm": nn.LayerNorm(hidden, config.layer_norm_eps),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)])})
        self.post_init()

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> BaseModelOutput:
        positions = torch.arange(input_ids.shape[-1])
        distance = (positions[:, None] - positions[None, :]).abs()
        x = self.embeddings["word_embeddings"](input_ids) + self.embeddings["token_type_embeddings"](token_type_ids)
        x = self.embeddings["LayerNorm"](x)
        bias = -torch.tensor(slopes(self.config.num_attention_heads), dtype=x.dtype)[:, None, None] * distance
        for layer in self.encoder["layer"]:
            x = layer(x, bias)
        return BaseModelOutput(last_hidden_state=x)


def remote_config(config: dict) -> dict:
    return config | {"auto_map": REMOTE, "architectures": ["JinaBertModel"]}
