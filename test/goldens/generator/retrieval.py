"""Sparse, late-interaction and BGE-M3 directories, with what sentence-transformers gives for them in float64.

TILDEv2 and BGE-M3's two linear layers have no class there: their formulas are written out below, after
github.com/ielab/TILDE (modeling.py, TILDEv2.encode) and github.com/FlagOpen/FlagEmbedding (M3's inference).
"""

import json
import shutil
import string
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder, SparseEncoder

from generator import checkpoints

TEXTS = [
    "The harbour wakes before the town does, and (the old clock) waits!",
    "x",
    "",
    "bread 😀, clocks; maps - rivers... " * 4,
    "the river wanders and the river wanders",
]
QUERIES = ["Who waits?", "", "the river wanders and the old clock waits for bread " * 3]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SIZES |= {"max_position_embeddings": 48}
DTYPE = torch.bfloat16
ST = {"modules": "sentence_transformers.base.modules"}

MASK_MODULE = "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"


def _json(folder: Path, name: str, value) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value, indent=1) + "\n")


def _tokenizer(folder: Path, source: Path, markers: list[str]) -> int:
    """The tokenizer of a main fixture with further special tokens; returns its number of tokens."""
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    settings = json.loads((source / "tokenizer_config.json").read_text()) | {"model_max_length": 40}
    size = max([*tokenizer["model"]["vocab"].values()] if isinstance(tokenizer["model"]["vocab"], dict) else [0]) + 1
    for marker in markers:
        tokenizer["added_tokens"].append(
            {"id": size, "content": marker, "special": True}
            | dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
        )
        size += 1
    _json(folder, "tokenizer_config.json", settings)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n")
    return size


def _bert(folder: Path, model_class: type, vocab: int, seed: int, **storage) -> torch.nn.Module:
    config = hf.BertConfig(vocab_size=vocab, **SIZES)
    model = checkpoints.randomise(model_class(config), seed)
    checkpoints.write(model, folder, dtype=DTYPE, **storage)
    return model


def _linear(rows: int, cols: int, seed: int) -> torch.Tensor:
    return (torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed)) * cols**-0.5).to(DTYPE)


def _modules(folder: Path, types: list[tuple[str, str]]) -> None:
    entries = [{"idx": i, "name": str(i), "path": path, "type": name} for i, (path, name) in enumerate(types)]
    _json(folder, "modules.json", entries)


def _settings(folder: Path, **values) -> None:
    _json(folder, "config_sentence_transformers.json", values)


def _write(folder: Path, case: dict, expected: dict[str, torch.Tensor]) -> str:
    _json(folder, "case.json", case)
    save_file({name: value.double().contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder.name}: {size / 1024:.0f} KiB"


# Sparse ---------------------------------------------------------------------------------------------------------


def _splade(folder: Path, source: Path, seed: int, layout: str) -> str:
    checkpoint = folder / "checkpoint"
    size = _tokenizer(checkpoint, source, [])
    model = _bert(checkpoint, hf.BertForMaskedLM, size, seed)
    twice = layout == "old"
    if layout != "bare":
        old = "sentence_transformers.sparse_encoder.models"
        first = f"{old}.MLMTransformer" if twice else f"{ST['modules']}.transformer.Transformer"
        new = "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling"
        _modules(checkpoint, [("", first), ("1_SpladePooling", f"{old}.SpladePooling" if twice else new)])
        activation = "log1p_relu" if twice else "relu"
        pooling = {"pooling_strategy": "max", "activation_function": activation, "word_embedding_dimension": size}
        _json(checkpoint, "1_SpladePooling/config.json", pooling)
        output = {"transformer_task": "fill-mask", "module_output_name": "token_embeddings"}
        output |= {"modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}}
        _json(checkpoint, "sentence_bert_config.json", {"max_seq_length": 30} if twice else output)
        _settings(checkpoint, model_type="SparseEncoder", prompts={"query": "query: ", "document": ""})
    reference = SparseEncoder(str(checkpoint)).double()
    rows = [reference.encode(text, convert_to_sparse_tensor=False) for text in TEXTS]
    assert model.config.vocab_size == rows[0].shape[0]
    return _write(folder, {"texts": TEXTS}, {"sparse": torch.stack(rows)})


def _router(folder: Path, source: Path, seed: int) -> str:
    """OpenSearch's inference-free layout: the document's transformer lies in the directory itself."""
    checkpoint = folder / "checkpoint"
    size = _tokenizer(checkpoint, source, [])
    _bert(checkpoint, hf.BertForMaskedLM, size, seed)
    _modules(checkpoint, [("", "sentence_transformers.models.Router")])
    old = "sentence_transformers.sparse_encoder.models"
    kinds = {"query_0_SparseStaticEmbedding": "SparseStaticEmbedding", "": "MLMTransformer"}
    kinds |= {"document_1_SpladePooling": "SpladePooling"}
    router = {
        "types": {path: f"{old}.{kind}.{kind}" for path, kind in kinds.items()},
        "structure": {"query": ["query_0_SparseStaticEmbedding"], "document": ["", "document_1_SpladePooling"]},
        "parameters": {"default_route": "document", "allow_empty_key": True},
    }
    _json(checkpoint, "router_config.json", router)
    pooling = {"pooling_strategy": "max", "activation_function": "log1p_relu", "word_embedding_dimension": size}
    _json(checkpoint, "document_1_SpladePooling/config.json", pooling)
    lookup = checkpoint / "query_0_SparseStaticEmbedding"
    _json(lookup, "config.json", {"frozen": True})
    _tokenizer(lookup, source, [])
    weight = torch.rand(size, generator=torch.Generator().manual_seed(seed)) * 8
    weight[::7] = 0
    save_file({"weight": weight}, lookup / "model.safetensors")
    _settings(checkpoint, model_type="SparseEncoder", prompts={"query": "", "document": ""}, similarity_fn_name="dot")
    reference = SparseEncoder(str(checkpoint)).double()
    dense = {"convert_to_sparse_tensor": False}
    expected = {
        "sparse": torch.stack([reference.encode_document(text, **dense) for text in TEXTS]),
        "queries": torch.stack([reference.encode_query(text, **dense) for text in QUERIES]),
    }
    return _write(folder, {"texts": TEXTS, "queries": QUERIES}, expected)


def _tilde(folder: Path, source: Path, seed: int) -> str:
    checkpoint = folder / "checkpoint"
    size = _tokenizer(checkpoint, source, [])
    projection = {"tok_proj.weight": _linear(1, 16, seed), "tok_proj.bias": torch.tensor([0.1], dtype=DTYPE)}
    _bert(
        checkpoint,
        hf.BertModel,
        size,
        seed,
        edit_tensors=lambda tensors: {f"bert.{name}": value for name, value in tensors.items()} | projection,
        edit_config=lambda config: config | {"architectures": ["TILDEv2"]},
    )
    model = hf.BertModel.from_pretrained(checkpoint, dtype=torch.float64, attn_implementation="eager")
    tokenizer = hf.AutoTokenizer.from_pretrained(checkpoint)
    rows = torch.zeros(len(TEXTS), size, dtype=torch.float64)
    for row, text in zip(rows, TEXTS):
        encoded = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**encoded).last_hidden_state[0]
        weights = torch.relu(hidden @ projection["tok_proj.weight"].double().T + projection["tok_proj.bias"].double())
        for token, weight in list(zip(encoded["input_ids"][0], weights[:, 0]))[1:-1]:
            row[token] = max(row[token], weight)
    return _write(folder, {"texts": TEXTS}, {"sparse": rows})


# Late interaction ------------------------------------------------------------------------------------------------


def _late(folder: Path, source: Path, seed: int, layout: str) -> str:
    checkpoint = folder / "checkpoint"
    markers = {"stanford": ["[unused0]", "[unused1]"], "pylate": ["[Q] ", "[D] "]}.get(layout, [])
    size = _tokenizer(checkpoint, source, markers)
    weight = _linear(12, 16, seed)
    if layout == "stanford":
        _bert(
            checkpoint,
            hf.BertModel,
            size,
            seed,
            edit_tensors=lambda tensors: {f"bert.{n}": v for n, v in tensors.items()} | {"linear.weight": weight},
            edit_config=lambda config: config | {"architectures": ["HF_ColBERT"]},
        )
        metadata = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 16, "doc_maxlen": 28}
        metadata |= {"mask_punctuation": True, "attend_to_mask_tokens": False, "dim": 12, "similarity": "cosine"}
        _json(checkpoint, "artifact.metadata", metadata)
    else:
        _bert(checkpoint, hf.BertModel, size, seed)
        _late_modules(checkpoint, layout, weight)
    reference = MultiVectorEncoder(str(checkpoint)).double()
    queries = [reference.encode_query(text) for text in QUERIES]
    documents = [reference.encode_document(text) for text in TEXTS]
    scores = torch.stack([torch.stack([(q @ d.T).amax(1).sum() for d in documents]) for q in queries])
    expected = {"scores": scores}
    expected |= {f"query.{i}": value for i, value in enumerate(queries)}
    expected |= {f"document.{i}": value for i, value in enumerate(documents)}
    return _write(folder, {"queries": QUERIES, "documents": TEXTS}, expected)


def _late_modules(checkpoint: Path, layout: str, weight: torch.Tensor) -> None:
    dense = {"in_features": 16, "out_features": 12, "bias": False}
    dense |= {"activation_function": "torch.nn.modules.linear.Identity"}
    transformer = f"{ST['modules']}.transformer.Transformer"
    if layout == "pylate":
        _modules(checkpoint, [("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense")])
        _settings(
            checkpoint,
            model_type="ColBERT",
            query_prefix="[Q] ",
            document_prefix="[D] ",
            query_length=14,
            document_length=25,
            attend_to_expansion_tokens=False,
            skiplist_words=list(string.punctuation),
        )
        _json(checkpoint, "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    else:
        attend = layout == "attend"
        features = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
        dense |= features
        kinds = [("", transformer), ("1_Dense", f"{ST['modules']}.dense.Dense")]
        kinds += [("2_MultiVectorMask", MASK_MODULE), ("3_Normalize", f"{ST['modules']}.normalize.Normalize")]
        _modules(checkpoint, kinds)
        mask = {"skiplist_words": [] if attend else [".", "!"], "skiplist_tasks": ["document"]}
        _json(checkpoint, "2_MultiVectorMask/config.json", mask | {"keep_only_token_ids": None})
        _json(checkpoint, "3_Normalize/config.json", features)
        expansion = {"strategy": "min" if attend else "fixed", "attend": attend, "token": None, "length": 11}
        _json(checkpoint, "sentence_bert_config.json", {"document_length": 22, "query_expansion": expansion})
        prompts = {"query": "query: ", "document": "a text: "}
        _settings(checkpoint, model_type="MultiVectorEncoder", prompts=prompts)
    _json(checkpoint, "1_Dense/config.json", dense)
    save_file({"linear.weight": weight}, checkpoint / "1_Dense/model.safetensors")


# BGE-M3 ----------------------------------------------------------------------------------------------------------


def _m3(folder: Path, source: Path, seed: int) -> str:
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    config = hf.XLMRobertaConfig(vocab_size=502, **SIZES, pad_token_id=1, bos_token_id=0, eos_token_id=2)
    model = checkpoints.randomise(hf.XLMRobertaModel(config, add_pooling_layer=False), seed)
    checkpoints.write(model, checkpoint, dtype=DTYPE)
    layers = {}
    for index, (name, rows) in enumerate({"colbert_linear": 16, "sparse_linear": 1}.items()):
        bias = torch.linspace(1.0, -0.3, rows).to(DTYPE)
        layers[name] = {"weight": _linear(rows, 16, seed + index), "bias": bias}
        save_file(layers[name], checkpoint / f"{name}.safetensors")
    _modules(
        checkpoint,
        [
            ("", "sentence_transformers.models.Transformer"),
            ("1_Pooling", "sentence_transformers.models.Pooling"),
            ("2_Normalize", "sentence_transformers.models.Normalize"),
        ],
    )
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    _json(checkpoint, "1_Pooling/config.json", pooling)
    _json(checkpoint, "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, checkpoint / name)

    tokenizer = hf.AutoTokenizer.from_pretrained(checkpoint)
    reference = hf.XLMRobertaModel.from_pretrained(checkpoint, dtype=torch.float64, attn_implementation="eager")
    unused = {tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    dense, sparse, expected = [], torch.zeros(len(TEXTS), 502, dtype=torch.float64), {}
    for i, text in enumerate(TEXTS):
        encoded = tokenizer(text, truncation=True, max_length=40, return_tensors="pt")
        with torch.no_grad():
            hidden = reference(**encoded).last_hidden_state[0]
        apply = {n: torch.nn.functional.linear(hidden, v["weight"].double(), v["bias"].double()) for n, v in layers.items()}
        dense.append(torch.nn.functional.normalize(hidden[0], dim=0))
        for token, weight in zip(encoded["input_ids"][0].tolist(), torch.relu(apply["sparse_linear"][:, 0])):
            if token not in unused:
                sparse[i, token] = max(sparse[i, token], weight)
        expected[f"vectors.{i}"] = torch.nn.functional.normalize(apply["colbert_linear"][1:], dim=-1)
    (checkpoint / "tokenizer.json").unlink()  # 330 KiB: tests copy that of models/xlm-roberta
    return _write(folder, {"texts": TEXTS}, {"dense": torch.stack(dense), "sparse": sparse, **expected})


CASES = {
    "splade": ("bert", lambda f, s: _splade(f, s, 501, "new")),
    "splade-old": ("bert", lambda f, s: _splade(f, s, 502, "old")),
    "splade-bare": ("bert", lambda f, s: _splade(f, s, 503, "bare")),
    "splade-router": ("bert", lambda f, s: _router(f, s, 505)),
    "tilde": ("bert", lambda f, s: _tilde(f, s, 504)),
    "colbert-stanford": ("bert", lambda f, s: _late(f, s, 511, "stanford")),
    "colbert-pylate": ("bert", lambda f, s: _late(f, s, 512, "pylate")),
    "multi-vector": ("bert", lambda f, s: _late(f, s, 513, "fixed")),
    "multi-vector-attend": ("bert", lambda f, s: _late(f, s, 514, "attend")),
    "bge-m3": ("xlm-roberta", lambda f, s: _m3(f, s, 521)),
}


def build(name: str, root: Path, models: Path) -> str:
    """Writes one case below `root`; returns a line for the log."""
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer, make = CASES[name]
    return make(folder, models / tokenizer / "checkpoint")
