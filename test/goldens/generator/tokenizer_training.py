"""Trains the four fixture tokenizers on corpus.txt and writes them as Hugging Face tokenizer files.

bert         WordPiece, uncased, [CLS] A [SEP] B [SEP]
roberta      byte-level BPE, <s> A </s></s> B </s>
xlm-roberta  SentencePiece Unigram with the nmt_nfkc character map ("Precompiled" normaliser)
camembert    Unigram with an NFKC normaliser written out, special tokens in another order
"""

import json
import subprocess
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MAX_LENGTH = 512


def _word_piece(corpus: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=specials, show_progress=False)
    tokenizer.train([str(corpus)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _byte_level_bpe(corpus: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=599,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train([str(corpus)], trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def _sentencepiece(corpus: Path, spm_train: str, vocab_size: int):
    """Pieces with scores, and the character map, of a SentencePiece Unigram model trained by `spm_train`."""
    from transformers.utils import sentencepiece_model_pb2_new as proto

    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "unigram"
        arguments = [f"--input={corpus}", f"--model_prefix={prefix}", f"--vocab_size={vocab_size}"]
        arguments += ["--model_type=unigram", "--normalization_rule_name=nmt_nfkc", "--num_threads=1"]
        subprocess.run([spm_train, *arguments, "--character_coverage=1.0"], check=True, capture_output=True)
        model = proto.ModelProto.FromString(prefix.with_suffix(".model").read_bytes())
    return [(piece.piece, piece.score) for piece in model.pieces[3:]], model.normalizer_spec.precompiled_charsmap


def _metaspace():
    return pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")


def _unigram(vocabulary, normalizer, pre_tokenizer, begin: str, end: str) -> Tokenizer:
    identifiers = {piece: index for index, (piece, _) in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=identifiers["<unk>"], byte_fallback=False))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens([begin, "<pad>", end, "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, identifiers[begin]), (end, identifiers[end])],
    )
    return tokenizer


def _xlm_roberta(pieces, character_map: bytes) -> Tokenizer:
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), _metaspace()])
    return _unigram([*specials, *pieces, ("<mask>", 0.0)], normalizers.Precompiled(character_map), words, "<s>", "</s>")


def _camembert(pieces) -> Tokenizer:
    specials = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]
    vocabulary = [*specials, ("<s>", 0.0), ("</s>", 0.0), *pieces, ("<mask>", 0.0)]
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"[\n\r\t]"), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(left=False, right=True),
        ]
    )
    return _unigram(vocabulary, normalizer, _metaspace(), "<s>", "</s>")


BERT_SPECIALS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_SPECIALS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>"}
ROBERTA_SPECIALS |= {"pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>"}

CONFIGS = {
    "bert": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT_SPECIALS},
    "roberta": {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, **ROBERTA_SPECIALS},
    "xlm-roberta": {"tokenizer_class": "XLMRobertaTokenizer", **ROBERTA_SPECIALS},
    # Not CamembertTokenizer: transformers 5 would rebuild that one without the normaliser of tokenizer.json.
    "camembert": {"tokenizer_class": "PreTrainedTokenizerFast", **ROBERTA_SPECIALS},
}


def train(corpus: Path, spm_train: str) -> dict[str, Tokenizer]:
    """The four tokenizers by model name; `spm_train` is the SentencePiece training program.

    The WordPiece trainer breaks ties by hash order, so two trainings differ: what is committed is the source
    of every other fixture, and is trained again only on request.
    """
    pieces, character_map = _sentencepiece(corpus, spm_train, 500)
    return {
        "bert": _word_piece(corpus),
        "roberta": _byte_level_bpe(corpus),
        "xlm-roberta": _xlm_roberta(pieces, character_map),
        "camembert": _camembert(pieces),
    }


def save(tokenizer: Tokenizer, name: str, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and, for WordPiece, vocab.txt into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {**CONFIGS[name], "model_max_length": MAX_LENGTH, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    if name == "bert":
        ordered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in ordered), "utf-8")
