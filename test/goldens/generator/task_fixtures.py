"""Tiny checkpoints with task heads and what transformers' pipelines answer for texts, in float64.

The tokenizers are those of the four main models. Question answering: transformers dropped its pipeline in version
5, so the file pipelines/question_answering.py of a 4.57 is run on the models of the installed version.
"""

import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path

import torch
import transformers as hf
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast
from transformers.pipelines.token_classification import AggregationStrategy

from generator import checkpoints
from generator.difficult_strings import utf16_offsets, well_formed
from generator.float64 import float64_everywhere
from generator.tokenizer_windows import encode_windows

MAX_LENGTH = 96

SENTENCES = [
    "The river wanders through the valley.",
    "In the harbour, Anna and Omar mend their nets before the morning tide comes in.",
    "bread",
    "",
    "A clock that stops is right twice a day; the maker's hand is steady.",
    "Äpfel, naïve cafés and smörgåsbord in Zürich",
    "emoji 👩‍🚀 and 𝔊𝔬𝔱𝔥𝔦𝔠 letters, then the sea",
    "nul\x00inside and a lone \ud800 surrogate",
    "שלום עולם and مرحبا بالعالم",
    "e\u0301 combining a\u0308 marks n\u0303",
    "the bakery's oven, the sea-captain's map (old) and 1,234.5 steps",
]
PAIRS = [
    ("The river is wide.", "Nobody can cross the river."),
    ("bread and butter", "the map of the harbour shows every rock"),
    ("", "an empty first text"),
    ("the tide " * 40, "the moon " * 30),
]
CONTEXTS = [
    ("What does Anna mend?", SENTENCES[1]),
    ("Where?", "The harbour wakes before the bakery. " * 9),
    ("Who keeps the clock?", "𝔊othic 👩‍🚀 letters, then the clock keeper Zoë walks along the river to the sea."),
    ("Which map?", "bread and butter on the table"),
    ("Why?", "the sea-captain's map (old) shows every rock; e\u0301tude"),
]
DOCUMENTS = ["The tide follows the moon.", "bread", "A map of the harbour " * 30, "Clocks need winding.", ""]

ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
MOODS = {0: "calm", 1: "glad", 2: "cross"}
ONE = {0: "LABEL_0"}
SPECIAL = {
    "bert": {"pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]", "cls_token": "[CLS]"},
    "roberta": {"pad_token": "<pad>", "mask_token": "<mask>", "unk_token": "<unk>", "cls_token": "<s>"},
}
SPECIAL["xlm-roberta"] = SPECIAL["camembert"] = SPECIAL["roberta"]
CLASSES = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}


# No token types, whatever the tokenizer says about a pair.
DEBERTA_V3 = {"type_vocab_size": 0, "relative_attention": True, "position_biased_input": False, "share_att_key": True}
DEBERTA_V3 |= {"pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "norm_rel_ebd": "layer_norm"}


def _tokenizer(models: Path, base: str) -> PreTrainedTokenizerFast:
    file = models / base / "checkpoint/tokenizer.json"
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    names = inputs if base == "bert" else [inputs[0], inputs[2]]
    return PreTrainedTokenizerFast(
        tokenizer_file=str(file), model_max_length=MAX_LENGTH, model_input_names=names, **SPECIAL[base]
    )


def _model(
    folder: Path, models: Path, base: str, task: str, seed: int, labels: dict | None = None, family: str = "", **changes
):
    """A body of 16 with the head of `task`, written as bfloat16 and read back as float64; `family` if not `base`'s."""
    family = family or CLASSES[base]
    vocabulary = json.loads((models / base / "checkpoint/config.json").read_text())
    ids = {key: vocabulary[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key in vocabulary}
    body = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 40}
    body |= {"vocab_size": vocabulary["vocab_size"], "max_position_embeddings": 100, **ids}
    body |= {"type_vocab_size": 2 if base == "bert" else 1}
    if labels:
        body |= {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}
    config = getattr(hf, f"{family}Config")(**body | changes)
    model_class = getattr(hf, f"{family}For{task}")
    shutil.rmtree(folder, ignore_errors=True)
    checkpoints.write(checkpoints.randomise(model_class(config), seed), folder, dtype=torch.bfloat16)
    return model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()


def _write(folder: Path, base: str, cases: list[dict]) -> str:
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "cases.json").write_text(f'{{"base": "{base}", "cases": [\n{lines}\n]}}\n')
    size = sum(file.stat().st_size for file in folder.iterdir())
    return f"{folder.name}: {len(cases)} cases, {size / 1024:.0f} KiB"


def _utf16(text: str, found: dict) -> dict:
    [[start, end]] = utf16_offsets(text, [(found["start"], found["end"])])
    return {**found, "start": start, "end": end}


def classify(name: str, base: str, seed: int, labels: dict, problem: str | None):
    def build(root: Path, models: Path) -> str:
        folder = root / name
        changes = {"problem_type": problem} if problem else {}
        model = _model(folder, models, base, "SequenceClassification", seed, labels, **changes)
        run = hf.pipeline("text-classification", model=model, tokenizer=_tokenizer(models, base), truncation=True)
        cases = []
        for text in SENTENCES:
            cases.append({"text": text, "scores": run(well_formed(text), top_k=None)})
        for text, pair in PAIRS:
            cases.append({"text": text, "pair": pair, "scores": run({"text": text, "text_pair": pair}, top_k=None)})
        return _write(folder, base, cases)

    return name, build


def rerank(name: str, base: str, seed: int, files: dict, **changes):
    """`files` are written beside the checkpoint, as versions of sentence-transformers have done."""

    def build(root: Path, models: Path) -> str:
        folder = root / name
        _model(folder, models, base, "SequenceClassification", seed, ONE, **changes)
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content, indent=1) + "\n")
        _tokenizer(models, base).save_pretrained(folder)
        encoder = CrossEncoder(str(folder), model_kwargs={"dtype": torch.float64}, max_length=MAX_LENGTH, local_files_only=True)
        queries = ["how do tides work", "winding a clock " * 30]
        cases = []
        for query in queries:
            scores = encoder.predict([(query, document) for document in DOCUMENTS]).tolist()
            cases.append({"query": query, "documents": DOCUMENTS, "scores": scores})
        for file in folder.glob("*token*"):
            file.unlink()
        return _write(folder, base, cases)

    return name, build


QWEN_PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
QWEN_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
QWEN_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


def _qwen_tokenizer(models: Path, folder: Path) -> PreTrainedTokenizerFast:
    """That of roberta, without its affixes and with the tokens that Qwen3's has."""
    rust = Tokenizer.from_file(str(models / "roberta/checkpoint/tokenizer.json"))
    rust.post_processor = processors.ByteLevel(trim_offsets=False)
    rust.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    rust.add_tokens(["yes", "no"])
    rust.save(str(folder / "tokenizer.json"), pretty=False)
    return PreTrainedTokenizerFast(tokenizer_object=rust, pad_token="<pad>")


def _qwen_config(**options) -> hf.Qwen3Config:
    return hf.Qwen3Config(
        vocab_size=608, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=40, max_position_embeddings=1024, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        use_cache=False, **options,
    )  # fmt: skip


def qwen_rerank(name: str, seed: int):
    """The scores by the code of Qwen3-Reranker's model card."""

    def build(root: Path, models: Path) -> str:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        config = _qwen_config(tie_word_embeddings=True)
        checkpoints.write(checkpoints.randomise(hf.Qwen3ForCausalLM(config), seed), folder, dtype=torch.bfloat16)
        tokenizer = _qwen_tokenizer(models, folder)
        prefix, suffix = (tokenizer.encode(text, add_special_tokens=False) for text in (QWEN_PREFIX, QWEN_SUFFIX))
        answers = [tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes")]
        cases = []
        with float64_everywhere():
            model = hf.Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
            for query, instruction, limit in (("how do tides work", None, None), ("a clock " * 9, "Find the clock", 300)):
                scores = []
                for document in DOCUMENTS:
                    words = instruction or QWEN_INSTRUCTION
                    text = f"<Instruct>: {words}\n<Query>: {query}\n<Document>: {document}"
                    ids = tokenizer(text)["input_ids"]
                    ids = prefix + ids[: limit - len(prefix) - len(suffix) if limit else None] + suffix
                    with torch.no_grad():
                        logits = model(torch.tensor([ids])).logits[0, -1, answers]
                    scores.append(logits.softmax(0)[1].item())
                case = {"query": query, "documents": DOCUMENTS, "scores": scores}
                case |= {"instruction": instruction} if instruction else {}
                cases.append(case | ({"maxLength": limit} if limit else {}))
        return _write(folder, "roberta", cases)

    return name, build


def qwen_labels(name: str, seed: int):
    """Qwen3-Reranker turned into a classifier of one label: a pair is one text, read at its last token."""

    def build(root: Path, models: Path) -> str:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        config = _qwen_config(id2label=ONE, label2id={"LABEL_0": 0})
        model_class = hf.Qwen3ForSequenceClassification
        checkpoints.write(checkpoints.randomise(model_class(config), seed), folder, dtype=torch.bfloat16)
        tokenizer = _qwen_tokenizer(models, folder)
        query = f"{QWEN_PREFIX}<Instruct>: {QWEN_INSTRUCTION}\n<Query>: how do tides work\n"
        documents = [f"<Document>: {document}{QWEN_SUFFIX}" for document in DOCUMENTS]
        with float64_everywhere():
            model = model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
            encoded = [tokenizer(query, document)["input_ids"] for document in documents]
            with torch.no_grad():
                scores = [model(torch.tensor([ids])).logits[0, 0].sigmoid().item() for ids in encoded]
        return _write(folder, "roberta", [{"query": query, "documents": documents, "scores": scores}])

    return name, build


def _windows(tokenizer: PreTrainedTokenizerFast, texts: list[str], limit: int, stride: int) -> list[dict]:
    """Windows with offsets in characters. The pipelines' own call of the tokenizer loses most of them, see there."""
    rust = tokenizer.backend_tokenizer
    rust.no_truncation()
    windows = encode_windows(rust, texts, limit, stride)
    for window in windows:
        for token, segment in enumerate(window["segments"]):
            units = well_formed(texts[max(segment, 0)]).encode("utf-16-le")
            ends = [len(units[: 2 * end].decode("utf-16-le", "ignore")) for end in window["offsets"][token]]
            window["offsets"][token] = tuple(ends)
    return windows


def _entity_window(model, window: dict, text: str) -> dict:
    ids = torch.tensor([window["ids"]])
    return {
        "logits": model(ids, token_type_ids=torch.zeros_like(ids)).logits.detach(),
        "input_ids": ids,
        "offset_mapping": [window["offsets"]],
        "special_tokens_mask": torch.tensor([[segment < 0 for segment in window["segments"]]]),
        "sentence": text,
    }


def _entities(text: str, found: list[dict]) -> list[dict]:
    kept = []
    for entity in found:
        label = entity.get("entity", entity.get("entity_group"))
        place = _utf16(text, {"start": entity["start"], "end": entity["end"]})
        kept.append({"label": label, "score": float(entity["score"]), **place})
    return kept


def entities(name: str, base: str, seed: int):
    def build(root: Path, models: Path) -> str:
        folder = root / name
        model = _model(folder, models, base, "TokenClassification", seed, ENTITIES)
        cases = []
        for strategy in ("none", "simple", "first", "average", "max"):
            run = hf.pipeline(
                "token-classification",
                model=model,
                tokenizer=_tokenizer(models, base),
                aggregation_strategy=strategy,
            )
            for text in SENTENCES:
                # WordPiece drops the marks, and the pipeline takes the shorter token for a part of a word.
                if strategy in ("first", "average", "max") and "\u0301" in text and base == "bert":
                    continue
                found = _entities(text, run(well_formed(text)))
                cases.append({"text": text, "aggregation": strategy, "entities": found})
        long = " ".join(SENTENCES[:2] + SENTENCES[4:6]) * 4
        outputs = [_entity_window(model, window, long) for window in _windows(run.tokenizer, [long], MAX_LENGTH, 8)]
        with torch.no_grad():
            found = run.postprocess(outputs, AggregationStrategy.SIMPLE)
        cases.append({"text": long, "aggregation": "simple", "stride": 8, "entities": _entities(long, found)})
        return _write(folder, base, cases)

    return name, build


def masks(name: str, base: str, seed: int):
    def build(root: Path, models: Path) -> str:
        folder = root / name
        model = _model(folder, models, base, "MaskedLM", seed)
        tokenizer = _tokenizer(models, base)
        run = hf.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3)
        mask = tokenizer.mask_token
        texts = [f"The {mask} wanders through the valley.", f"{mask}", f"bread {mask} butter {mask} {mask}"]
        texts += [f"👩‍🚀 naïve {mask}, then the sea"]
        cases = []
        for text in texts:
            found = run(text)
            found = found if isinstance(found[0], list) else [found]
            kept = [
                [{"id": one["token"], "score": one["score"], "token": one["token_str"], "text": one["sequence"]} for one in m]
                for m in found
            ]
            cases.append({"text": text, "masks": kept})
        return _write(folder, base, cases)

    return name, build


def _question_pipeline(folder: Path):
    """QuestionAnsweringPipeline of transformers 4, with what version 5 no longer has made up."""
    class Fields:
        def __init__(self, *values, **fields):
            self.__dict__.update(fields)
            if values:
                _, self.question_text, self.context_text, *_ = values

    data, card, base, utils = (
        importlib.import_module(f"transformers.{name}") for name in ("data", "modelcard", "pipelines.base", "utils")
    )
    for name in ("SquadExample", "SquadFeatures", "squad_convert_examples_to_features"):
        setattr(data, name, Fields)
    utils.is_tf_available = lambda: False
    card.ModelCard = Fields
    base.ArgumentHandler = object
    old = sys.modules.setdefault("transformers.tokenization_utils", types.ModuleType("transformers.tokenization_utils"))
    old.PreTrainedTokenizer = Fields
    name = "transformers.pipelines.question_answering"
    spec = importlib.util.spec_from_file_location(name, folder / "pipelines/question_answering.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QuestionAnsweringPipeline


class _WindowWords:
    """What the pipeline asks of an encoding, for one window."""

    def __init__(self, window: dict):
        self.offsets, self._words, self._segments = window["offsets"], window["words"], window["segments"]

    def token_to_word(self, token: int) -> int:
        return self._words[token]

    def word_to_chars(self, word: int, sequence_index: int) -> tuple[int, int]:
        tokens = [t for t, s in enumerate(self._segments) if s == sequence_index and self._words[t] == word]
        return self.offsets[tokens[0]][0], self.offsets[tokens[-1]][1]


def _question_window(run, window: dict, example) -> dict:
    ids = torch.tensor([window["ids"]])
    outside = [segment != 1 and token != 0 for token, segment in enumerate(window["segments"])]
    inputs = {"input_ids": ids, "token_type_ids": torch.tensor([window["typeIds"]])}
    output = run.model(**inputs)
    return {
        **inputs,
        "start": output.start_logits,
        "end": output.end_logits,
        "example": example,
        "p_mask": torch.tensor([outside]),
        "encoding": _WindowWords(window),
    }


def questions(name: str, base: str, seed: int, transformers_4: Path):
    def build(root: Path, models: Path) -> str:
        folder = root / name
        pipeline_class = _question_pipeline(transformers_4)
        run = pipeline_class.__new__(pipeline_class)
        run.model = _model(folder, models, base, "QuestionAnswering", seed)
        run.tokenizer = _tokenizer(models, base)
        run.framework = "pt"
        cases = []
        for question, context in CONTEXTS:
            for top_k, null, length in ((1, False, 15), (3, True, 4)):
                example = {"question": question, "context": context}
                with torch.no_grad():
                    outputs = [
                        _question_window(run, window, types.SimpleNamespace(context_text=context))
                        for window in _windows(run.tokenizer, [question, context], 64, 16)
                    ]
                found = run.postprocess(outputs, top_k, handle_impossible_answer=null, max_answer_len=length)
                found = found if isinstance(found, list) else [found]
                answers = [_utf16(context, answer) for answer in found]
                options = {"topK": top_k, "nullAnswer": null, "maxAnswerTokens": length}
                cases.append({**example, "windows": len(outputs), "options": options, "answers": answers})
        return _write(folder, base, cases)

    return name, build


def fixtures(transformers_4: Path | None) -> dict:
    """Name to what writes the fixture below a folder."""
    cross_encoder = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None}
    transformer = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    identity = "torch.nn.modules.linear.Identity"
    found = [
        classify("classify-one-of", "bert", 700, MOODS, "single_label_classification"),
        classify("classify-many-of", "roberta", 701, MOODS, "multi_label_classification"),
        classify("classify-regression", "bert", 702, MOODS, "regression"),
        classify("classify-one-label", "camembert", 703, ONE, None),
        classify("classify-unstated", "xlm-roberta", 704, MOODS, None),
        rerank("rerank-default", "bert", 710, {}),
        rerank("rerank-identity", "roberta", 711, {}, sbert_ce_default_activation_function=identity),
        rerank("rerank-nested", "bert", 712, {}, sentence_transformers={"activation_fn": identity, "version": "4.1.0"}),
        rerank(
            "rerank-modules",
            "bert",
            713,
            {
                "modules.json": [transformer],
                "config_sentence_transformers.json": {**cross_encoder, "activation_fn": identity},
                "sentence_bert_config.json": {
                    "transformer_task": "sequence-classification",
                    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
                    "module_output_name": "scores",
                },
            },
        ),
        rerank("rerank-deberta", "bert", 716, {}, family="DebertaV2", **DEBERTA_V3),
        qwen_rerank("rerank-qwen3", 714),
        qwen_labels("rerank-qwen3-labels", 715),
        *(entities(f"entities-{base}", base, seed) for base, seed in zip(CLASSES, (728, 721, 722, 723))),
        masks("masks-bert", "bert", 730),
        masks("masks-roberta", "roberta", 731),
        masks("masks-xlm-roberta", "xlm-roberta", 732),
    ]
    if transformers_4:
        found += [
            questions("questions-bert", "bert", 740, transformers_4),
            questions("questions-roberta", "roberta", 741, transformers_4),
        ]
    return dict(found)
