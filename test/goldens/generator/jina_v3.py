"""jina-embeddings-v3 as Jina's own code stores it, with LoRA adapters for two tasks.

The bodies are transformers' classes (JinaEmbeddingsV3Model with rope, XLM-RoBERTa with a position table). The
adapters are not: theirs are added to the float64 weights here, by the formula of LoRA (arXiv:2106.09685, section 4.1)
as the model's paper (arXiv:2409.10173, section 4) uses it, W + alpha / rank * B A for a product and E + alpha / rank
* A B for a table. Names, config keys and stacking ([task, rank, in], [task, out, rank]) are those of
jinaai/jina-embeddings-v3 and jinaai/jina-reranker-v2-base-multilingual.
"""

import re

import torch
from torch import nn

from generator.checkpoints import Tensors
from generator.older_layouts import packed, renamed

TASKS = ("retrieval.query", "text-matching")
RANK, ALPHA = 3, 2.0
CODE = "jinaai/xlm-roberta-flash-implementation"
PARTS = tuple(f"self_attn.{part}_proj" for part in "qkv")
RULES = [
    (r"^embeddings\.LayerNorm", "emb_ln"),
    (r"^layers", "encoder.layers"),
    (r"self_attn\.o_proj", "mixer.out_proj"),
    (r"post_attention_layernorm", "norm1"),
    (r"post_mlp_layernorm", "norm2"),
]
# XLM-RoBERTa's names to those of JinaEmbeddingsV3Model.
FROM_ROBERTA = [
    (r"encoder\.layer\.", "layers."),
    (r"attention\.self\.(\w)\w*", r"self_attn.\1_proj"),
    (r"attention\.output\.dense", "self_attn.o_proj"),
    (r"attention\.output\.LayerNorm", "post_attention_layernorm"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"output\.LayerNorm", "post_mlp_layernorm"),
]


def _remote_names(tensors: Tensors) -> Tensors:
    return renamed(packed(tensors, PARTS, "mixer.Wqkv"), RULES)


def _matrices(tensors: Tensors) -> dict[str, torch.Size]:
    """The shapes of all weights that carry adapters: every product and every table."""
    return {name: tensor.shape for name, tensor in sorted(tensors.items()) if tensor.dim() == 2}


def _factors(shapes: dict[str, torch.Size], seed: int) -> Tensors:
    """lora_A and lora_B of every weight, as stored."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, std: float) -> torch.Tensor:
        return (std * torch.randn(len(TASKS), *shape, generator=generator)).to(torch.bfloat16)

    found = {}
    for name, (rows, cols) in shapes.items():
        root = name.replace("weight", "parametrizations.weight.0")
        if "embeddings" in name:
            found |= {f"{root}.lora_A": draw(rows, RANK, std=0.05), f"{root}.lora_B": draw(RANK, cols, std=0.5)}
        else:
            found |= {f"{root}.lora_A": draw(RANK, cols, std=cols**-0.5), f"{root}.lora_B": draw(rows, RANK, std=0.5)}
    return found


def adapted_tensors(seed: int):
    """Renames, and adds the adapters."""

    def edit(tensors: Tensors) -> Tensors:
        tensors = _remote_names(tensors)
        shapes = _matrices(tensors)
        original = {name.replace(".weight", ".parametrizations.weight.original"): name for name in shapes}
        plain = {name: tensor for name, tensor in tensors.items() if name not in shapes}
        stored = plain | {name: tensors[source] for name, source in original.items()} | _factors(shapes, seed)
        return {f"roberta.{name}": tensor for name, tensor in stored.items()}

    return edit


def apply_adapter(task: str, seed: int):
    """Adds the task's adapters to the weights of the reference."""

    def apply(model: nn.Module) -> None:
        state = model.state_dict()
        names = _remote_names({name: torch.empty_like(value, device="meta") for name, value in state.items()})
        factors = _factors(_matrices(names), seed)
        index = TASKS.index(task)
        for name, (rows, _) in _matrices(names).items():
            root = name.replace("weight", "parametrizations.weight.0")
            a, b = (factors[f"{root}.lora_{part}"][index].to(torch.float64) for part in "AB")
            delta = ALPHA / RANK * (a @ b if "embeddings" in name else b @ a)
            for target, part in _targets(name, delta):
                state[target].add_(part.to(state[target].dtype))

    return apply


def _targets(name: str, delta: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The reference's tensors that a stored one makes, with their rows."""
    name = re.sub(r"^encoder\.layers", "layers", name).replace("mixer.out_proj", "self_attn.o_proj")
    if "mixer.Wqkv" not in name:
        return [(name, delta)]
    return [(name.replace("mixer.Wqkv", part), rows) for part, rows in zip(PARTS, delta.chunk(3))]


def _remote(config: dict, **more) -> dict:
    dropped = ("rope_parameters", "dtype", "transformers_version", "is_decoder", "use_cache")
    kept = {key: value for key, value in config.items() if key not in dropped}
    code = {"AutoConfig": f"{CODE}--configuration_xlm_roberta.XLMRobertaFlashConfig"}
    return kept | {"model_type": "xlm-roberta", "auto_map": code, "use_flash_attn": True, "torch_dtype": "bfloat16"} | more


def embeddings_config(config: dict) -> dict:
    """config.json of jina-embeddings-v3."""
    remote = _remote(
        config,
        architectures=["XLMRobertaModel"],
        position_embedding_type="rotary",
        rotary_emb_base=config["rope_parameters"]["rope_theta"],
        lora_adaptations=list(TASKS),
        task_instructions={TASKS[0]: "look for: ", TASKS[1]: ""},
        lora_rank=RANK,
        lora_alpha=ALPHA,
        lora_dropout_p=0.0,
        load_trained_adapters=True,
        use_reg_tokens=False,
    )
    remote["auto_map"]["AutoModel"] = f"{CODE}--modeling_lora.XLMRobertaLoRA"
    return remote


def reranker_config(config: dict) -> dict:
    """config.json of jina-reranker-v2, whose repository holds the code itself."""
    code = {
        "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
        "AutoModelForSequenceClassification": "modeling_xlm_roberta.XLMRobertaForSequenceClassification",
    }
    return _remote(config, position_embedding_type="absolute", auto_map=code)


def reranker_tensors(tensors: Tensors) -> Tensors:
    body = {name.removeprefix("roberta."): tensor for name, tensor in tensors.items() if name.startswith("roberta.")}
    head = {name: tensor for name, tensor in tensors.items() if not name.startswith("roberta.")}
    return head | {f"roberta.{name}": tensor for name, tensor in _remote_names(renamed(body, FROM_ROBERTA)).items()}
