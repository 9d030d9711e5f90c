"""sentence-transformers chains over the tiny models: their files, and their embeddings in float64.

The embeddings are computed here from transformers' float64 hidden states with the formulas written out, and
checked against what sentence-transformers itself answers for the same directory in float32.
"""

import copy
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.special import erf, expit
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoModel

from generator import chain_files

ST_TOLERANCE = 1e-5

TEXTS = [
    "",
    "The harbour wakes before the town does.",
    "bread",
    "Der Müller öffnet früh die Tür.",
    "Rivers do not like straight lines. If you dig a straight canal and leave it alone for two hundred years, it "
    "will begin to wander: first a sandbank, then a bend, then a lake full of frogs.",
    "港口的早晨 😀 e\u0301",
    "a [SEP] b </s> c",
    "  HOW does a clock\tknow\nwhat time it is?  ",
]

TORCH = "torch.nn.modules."
ACTIVATIONS = {
    TORCH + "linear.Identity": lambda x: x,
    TORCH + "activation.Tanh": np.tanh,
    TORCH + "activation.ReLU": lambda x: np.maximum(x, 0),
    TORCH + "activation.GELU": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    TORCH + "activation.SiLU": lambda x: x * expit(x),
    TORCH + "activation.Sigmoid": expit,
}


@dataclass
class Dense:
    in_features: int
    out_features: int
    activation: str = "activation.Tanh"
    bias: bool = True


@dataclass
class Chain:
    """`old` chooses the directory layout from before sentence-transformers 5.4."""

    name: str
    about: str
    modes: list[str]
    old: bool = False
    base: str = "bert"
    base_path: str = ""
    dense: list[Dense] = field(default_factory=list)
    normalize: bool = False
    include_prompt: bool | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    ask: list[str | None] = field(default_factory=lambda: [None])
    truncate_dim: int | None = None
    max_length: int = 512
    lower_case: bool = False
    config_name: str = "sentence_bert_config.json"
    length_in_tokenizer_config: bool = False
    tokenizer_edit: dict = field(default_factory=dict)
    pooling_keys: tuple[str, ...] | None = None


def pool(hidden: np.ndarray, mode: str, skip: int) -> np.ndarray:
    """One sequence's vector; the first `skip` tokens, the prompt, do not take part."""
    kept = hidden[skip:]
    weights = np.arange(skip + 1, len(hidden) + 1)[:, None]
    if mode == "cls":
        return kept[0]
    if mode == "lasttoken":
        return kept[-1]
    if mode == "max":
        return kept.max(axis=0)
    if mode == "mean":
        return kept.sum(axis=0) / len(kept)
    if mode == "mean_sqrt_len_tokens":
        return kept.sum(axis=0) / np.sqrt(len(kept))
    assert mode == "weightedmean", mode
    return (kept * weights).sum(axis=0) / weights.sum()


def _configs(chain: Chain, base: Path, files: Path) -> None:
    root = files / chain.base_path
    if chain.length_in_tokenizer_config:
        config = json.loads((base / "tokenizer_config.json").read_text())
        chain_files.write_json(root / "tokenizer_config.json", config | {"model_max_length": chain.max_length})
        modality = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
        body = {
            "transformer_task": "feature-extraction",
            "modality_config": modality,
            "module_output_name": "token_embeddings",
        }
        chain_files.write_json(root / chain.config_name, body)
    else:
        body = {"max_seq_length": chain.max_length, "do_lower_case": chain.lower_case}
        chain_files.write_json(root / chain.config_name, body)
    if chain.tokenizer_edit:
        tokenizer = json.loads((base / "tokenizer.json").read_text())
        (root / "tokenizer.json").write_text(json.dumps(tokenizer | chain.tokenizer_edit, ensure_ascii=False), "utf-8")
    if chain.prompts or chain.truncate_dim:
        versions = {"sentence_transformers": "2.2.2" if chain.old else "6.0.1"}
        body = {"__version__": versions, "prompts": chain.prompts, "default_prompt_name": chain.default_prompt}
        if chain.truncate_dim:
            body["truncate_dim"] = chain.truncate_dim
        chain_files.write_json(files / "config_sentence_transformers.json", body | {"similarity_fn_name": "cosine"})


def _write_files(chain: Chain, base: Path, files: Path, seed: int) -> list[tuple[dict, str]]:
    """Writes the chain's own files; returns the weights and activation of each Dense."""
    width = json.loads((base / "config.json").read_text())["hidden_size"]
    modules = [("Transformer", chain.base_path), ("Pooling", "1_Pooling")]
    pooling = chain_files.pooling_config(chain.modes, width, chain.old, chain.include_prompt)
    if chain.pooling_keys:
        pooling = {key: value for key, value in pooling.items() if key in chain.pooling_keys}
    chain_files.write_json(files / "1_Pooling/config.json", pooling)
    layers = []
    for index, dense in enumerate(chain.dense):
        path = f"{len(modules)}_Dense"
        weights = chain_files.dense_weights(dense.in_features, dense.out_features, dense.bias, seed + index)
        chain_files.write_dense(files / path, weights, TORCH + dense.activation, chain.old)
        layers.append((weights, TORCH + dense.activation))
        modules.append(("Dense", path))
    if chain.normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
        if not chain.old:
            names = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
            chain_files.write_json(files / modules[-1][1] / "config.json", names)
    chain_files.write_modules(files, modules, chain.old)
    _configs(chain, base, files)
    return layers


def assemble(chain_folder: Path, models: Path, target: Path) -> None:
    """The complete directory: the base checkpoint, overlaid with the chain's files."""
    case = json.loads((chain_folder / "case.json").read_text())
    shutil.copytree(models / case["base"] / "checkpoint", target / case["basePath"], dirs_exist_ok=True)
    shutil.copytree(chain_folder / "files", target, dirs_exist_ok=True)


def _embed(chain: Chain, model, layers, ids: list[int], skip: int) -> np.ndarray:
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    vector = np.concatenate([pool(hidden, mode, skip) for mode in chain.modes])
    for weights, activation in layers:
        vector = weights["linear.weight"].double().numpy() @ vector
        if "linear.bias" in weights:
            vector = vector + weights["linear.bias"].double().numpy()
        vector = ACTIVATIONS[activation](vector)
    if chain.normalize:
        vector = vector / np.linalg.norm(vector)
    return vector[: chain.truncate_dim]


def _inputs(chain: Chain, tokenizer: Tokenizer) -> list[dict]:
    tokenizer.enable_truncation(chain.max_length)
    inputs = []
    for index, text in enumerate(TEXTS * len(chain.ask)):
        name = chain.ask[index // len(TEXTS)]
        prompt = chain.prompts.get(name or chain.default_prompt, "")
        full = (prompt + text).lower() if chain.lower_case else prompt + text
        ids = tokenizer.encode(full).ids
        skip = len(tokenizer.encode(prompt).ids) - 1 if prompt and chain.include_prompt is False else 0
        inputs.append({"text": text, "promptName": name, "ids": ids, "skip": skip})
    return inputs


def _check(chain: Chain, folder: Path, models: Path, inputs: list[dict], expected: np.ndarray) -> float:
    """The largest relative error of sentence-transformers in float32, alone and in one padded batch."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as target:
        assemble(folder, models, Path(target))
        model = SentenceTransformer(target, device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32})
        for name in chain.ask:
            chosen = [index for index, entry in enumerate(inputs) if entry["promptName"] == name]
            texts = [inputs[index]["text"] for index in chosen]
            for batch_size in (1, len(texts)):
                actual = model.encode(texts, prompt_name=name, batch_size=batch_size)
                error = np.linalg.norm(actual - expected[chosen], axis=1) / np.linalg.norm(expected[chosen], axis=1)
                worst = max(worst, error.max())
    if worst > ST_TOLERANCE:
        raise AssertionError(f"{chain.name}: sentence-transformers differs by {worst:.1e}")
    return worst


def build(chain: Chain, root: Path, models: Path, seed: int) -> str:
    folder = root / chain.name
    shutil.rmtree(folder, ignore_errors=True)
    base = models / chain.base / "checkpoint"
    layers = _write_files(chain, base, folder / "files", seed)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    model = AutoModel.from_pretrained(base, dtype=torch.float64, attn_implementation="eager").eval()
    inputs = _inputs(chain, copy.deepcopy(tokenizer))
    expected = np.stack([_embed(chain, model, layers, entry["ids"], entry["skip"]) for entry in inputs])
    header = {"name": chain.name, "about": chain.about, "base": chain.base, "basePath": chain.base_path}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in header.items()]
    rows = ",\n".join("  " + json.dumps(entry) for entry in inputs)
    (folder / "case.json").write_text("{\n" + ",\n".join([*lines, f'"inputs": [\n{rows}\n]']) + "\n}\n")
    save_file({"sentence_embedding": expected}, folder / "expected.safetensors")
    worst = _check(chain, folder, models, inputs, expected)
    return f"{chain.name}: {expected.shape}, sentence-transformers within {worst:.1e}"
