"""Task heads over one-layer bodies of 16: what `logits` is for each family."""

import torch
import transformers as hf

from generator import jina_v3, older_layouts
from generator.fixtures import Fixture
from generator.references import Sequence

LENGTHS = (1, 2, 9, 33)
TASKS = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "masked-lm": "ForMaskedLM",
    "question": "ForQuestionAnswering",
}
ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
MOODS = {0: "calm", 1: "glad", 2: "cross"}
TOPICS = {0: "sea", 1: "bread", 2: "clocks", 3: "maps"}

BODY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 40}
BODY |= {"vocab_size": 50, "max_position_embeddings": 40}
PAD_ONE = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
ROBERTA = {**BODY, **PAD_ONE, "type_vocab_size": 1}
ROTARY = BODY | {"max_position_embeddings": 128}
EURO_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "mask_token_id": 4}
MODERN = {**ROTARY, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
DISENTANGLED = {**BODY, "relative_attention": True, "pos_att_type": "p2c|c2p", "position_biased_input": False}
DEBERTA_V3 = {**DISENTANGLED, "position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"}

# class prefix -> body configuration, and whether token types are fed
FAMILIES = {
    "Bert": (BODY, 2),
    "Roberta": (ROBERTA, 0),
    "DistilBert": (
        {"dim": 16, "n_layers": 1, "n_heads": 1, "hidden_dim": 40, "vocab_size": 50, "max_position_embeddings": 40},
        0,
    ),
    "Albert": ({**BODY, "embedding_size": 12}, 2),
    "Electra": ({**BODY, "embedding_size": 12}, 2),
    "MPNet": ({**BODY, **PAD_ONE}, 0),
    "Deberta": (DISENTANGLED, 0),
    "DebertaV2": (DEBERTA_V3, 0),
    "Ernie": (BODY, 2),
    "ModernBert": (MODERN, 0),
    "NomicBert": (ROTARY, 2),
    "EuroBert": ({**ROTARY, "num_key_value_heads": 1, **EURO_IDS}, 0),
    "Gte": ({**ROTARY, "type_vocab_size": 1}, 0),
    "Camembert": (ROBERTA, 0),
    "XLMRoberta": (ROBERTA, 0),
    "JinaEmbeddingsV3": ({**ROTARY, **PAD_ONE, "type_vocab_size": 1}, 0),
}
POOLED = ("Bert", "Ernie", "Albert")
LIKE_ROBERTA = ("Camembert", "XLMRoberta", "JinaEmbeddingsV3")  # the same heads: one task shows that the names are known


def _labels(names: dict[int, str]) -> dict:
    return {"id2label": names, "label2id": {name: index for index, name in names.items()}}


def _task_options(task: str) -> dict:
    if task == "sequence":
        return {**_labels(MOODS), "problem_type": "single_label_classification"}
    return _labels(ENTITIES) if task == "token" else {}


def _outputs(prefix: str, task: str) -> list[str]:
    pooled = prefix in POOLED and task == "sequence"
    return ["last_hidden_state", *(["pooler_output"] if pooled else []), "logits"]


def _adjust(model: torch.nn.Module) -> None:
    """Adds two to the last bias: a few logits near zero would turn rounding into a large relative error.

    An untied decoder has two names for its bias, of which transformers reads one: they get the same values.
    """
    for name, parameter in model.named_parameters():
        if name in ("classifier.bias", "classifier.out_proj.bias", "qa_outputs.bias"):
            parameter += 2
        if name == "cls.predictions.decoder.bias":
            parameter.copy_(model.cls.predictions.bias)


def head(name: str, prefix: str, task: str, seed: int, **changes) -> Fixture:
    body, token_types = FAMILIES[prefix]
    config = getattr(hf, f"{prefix}Config")(**{**body, **_task_options(task), **changes})
    model_class = getattr(hf, prefix + TASKS[task])
    special = (0, 2) if "eos_token_id" in body and body["eos_token_id"] == 2 else (2, 3)
    fixture = Fixture(
        name, config, model_class, seed, _outputs(prefix, task), LENGTHS, special, token_types=token_types
    )
    fixture.storage = {"dtype": torch.bfloat16}
    fixture.adjust = _adjust
    fixture.may_ignore = UNUSED.get((prefix, task), ())
    fixture.facts = {"task": task}
    return fixture


# Weights in the body that the head does not look at.
UNUSED = {("Albert", task): ("pooler",) for task in ("token", "masked-lm", "question")}
UNUSED[("Bert", "masked-lm")] = ("cls.predictions.bias",)


def _special_cases() -> list[Fixture]:
    one = _labels({0: "LABEL_0"})
    return [
        head("bert-sequence-one-label", "Bert", "sequence", 301, **one, problem_type="regression"),
        head(
            "bert-sequence-multi-label",
            "Bert",
            "sequence",
            302,
            **_labels(TOPICS),
            problem_type="multi_label_classification",
        ),
        head("bert-sequence-unstated", "Bert", "sequence", 303, problem_type=None),
        head("roberta-sequence-one-label", "Roberta", "sequence", 304, **one, problem_type=None),
        head("bert-masked-lm-untied", "Bert", "masked-lm", 305, tie_word_embeddings=False),
        head(
            "modernbert-sequence-mean", "ModernBert", "sequence", 306, classifier_pooling="mean", classifier_bias=True
        ),
        head("eurobert-sequence-bos", "EuroBert", "sequence", 307, classifier_pooling="bos"),
        head("deberta-v2-masked-lm-narrow", "DebertaV2", "masked-lm", 309, embedding_size=12),
        head("eurobert-sequence-mean", "EuroBert", "sequence", 308, classifier_pooling="mean"),
    ]


def _decoders() -> list[Fixture]:
    """Heads of transformers' decoders; one sequence ends with pad ids, which are not its last token there."""
    body = {**ROTARY, **EURO_IDS, "head_dim": 16, "num_key_value_heads": 1, "use_cache": False}
    found = []
    for seed, (name, model_class, task, options) in enumerate(
        (
            ("qwen3-sequence", hf.Qwen3ForSequenceClassification, "sequence", _task_options("sequence")),
            ("qwen3-token", hf.Qwen3ForTokenClassification, "token", _task_options("token")),
            ("qwen3-causal-lm", hf.Qwen3ForCausalLM, "causal-lm", {"tie_word_embeddings": True}),
            ("mistral-causal-lm", hf.MistralForCausalLM, "causal-lm", {"tie_word_embeddings": False}),
            ("mistral-sequence", hf.MistralForSequenceClassification, "sequence", _task_options("sequence")),
        )
    ):
        config_class = hf.MistralConfig if name.startswith("mistral") else hf.Qwen3Config
        fixture = Fixture(
            name, config_class(**{**body, **options}), model_class, 570 + seed, ["last_hidden_state", "logits"], LENGTHS
        )
        fixture.storage = {"dtype": torch.bfloat16}
        fixture.adjust = _adjust
        fixture.facts = {"task": task}
        fixture.extra_sequences = [Sequence("pad ids at the end", [2, 17, 23, 9, 0, 0])]
        found.append(fixture)
    return found


def _jina_reranker() -> Fixture:
    """XLM-RoBERTa as Jina's code stores it."""
    fixture = head("xlm-roberta-flash-sequence", "XLMRoberta", "sequence", 311, **_labels({0: "LABEL_0"}), problem_type=None)
    fixture.storage |= {"edit_config": jina_v3.reranker_config, "edit_tensors": jina_v3.reranker_tensors}
    fixture.read_back = False
    return fixture


def _new_heads() -> list[Fixture]:
    """GTE's heads as Alibaba's own code stores them."""
    found = [
        head("new-sequence", "Gte", "sequence", 312, **_labels({0: "LABEL_0"}), problem_type=None),
        head("new-token", "Gte", "token", 313),
    ]
    for fixture in found:
        fixture.storage |= {"edit_config": older_layouts.new_head_config, "edit_tensors": older_layouts.new_head_tensors}
        fixture.read_back = False
    return found


def fixtures(tokenizers) -> list[Fixture]:
    found = []
    for row, prefix in enumerate(FAMILIES):
        for column, task in enumerate(TASKS):
            if hasattr(hf, prefix + TASKS[task]) and (task == "sequence" or prefix not in LIKE_ROBERTA):
                family = getattr(hf, f"{prefix}Config").model_type.replace("_", "-")
                found.append(head(f"{family}-{task}", prefix, task, 410 + 10 * row + column))
    return found + _special_cases() + _decoders() + [_jina_reranker()] + _new_heads()
