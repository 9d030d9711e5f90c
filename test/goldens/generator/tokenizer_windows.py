"""Pairs and texts cut into overlapping windows, with word ids, as the Rust tokenizers library gives them."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from .difficult_strings import utf16_offsets, well_formed

QUESTIONS = ["Who waits?", "what 😀 time?", "كم الساعة"]

CONTEXTS = [
    "The harbour wakes before the town does, and the old clock waits for nobody.",
    "😀 Straße ﬁlls e\u0301e\u0301 \u202eabc\u202c 𠮷野家 [MASK] and  two  spaces a\ud83db " * 2,
    "",
    "x",
]

# (maxLength, stride); a stride of None cuts instead of making windows.
LIMITS = [(24, 4), (33, 0), (40, 15), (24, None), (None, None)]


def encode_windows(tokenizer: Tokenizer, texts: list[str], limit, stride) -> list[dict]:
    """Windows of the last text. Truncating in `encode` is no reference: 0.23.2 stops reading a text beyond the limit,
    and so its overflow lacks most windows. `Encoding.truncate` cuts what has been read to the end. `post_process` then
    forgets some sequence ids and trims offsets twice, so those two come from the encoding of the whole."""
    texts = [well_formed(text) for text in texts]
    whole = tokenizer.encode(*texts)
    offsets = [[pair for pair, s in zip(whole.offsets, whole.sequence_ids) if s == i] for i in range(len(texts))]
    *first, last = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    step = 0
    if limit is not None:
        used = sum(len(encoding.ids) for encoding in first) + tokenizer.num_special_tokens_to_add(bool(first))
        step = limit - used - (stride or 0)
        last.truncate(limit - used, stride=stride or 0)
    parts = [last, *last.overflowing] if stride is not None else [last]
    sequences = []
    for i, part in enumerate(parts):
        encoding = tokenizer.post_process(*first, part)
        tokens = [(s, j) for s, one in enumerate([*first, part]) for j in range(len(one.ids))]
        begins = [0] * len(first) + [i * step]
        own = iter(tokens)
        placed = [(-1, 0) if special else next(own) for special in encoding.special_tokens_mask]
        sequences.append(
            {
                "ids": encoding.ids,
                "typeIds": encoding.type_ids,
                "words": [-1 if word is None else word for word in encoding.word_ids],
                "segments": [s for s, _ in placed],
                "offsets": [
                    [0, 0] if s < 0 else utf16_offsets(texts[s], [offsets[s][begins[s] + j]])[0] for s, j in placed
                ],
            }
        )
    return sequences


def write(tokenizers: dict[str, Tokenizer], path: Path) -> int:
    """Writes one JSON record a line; see README.md, "Tokenizer windows". Returns the number of records."""
    lines = []
    for tokenizer in tokenizers.values():
        tokenizer.no_truncation()
    for limit, stride in LIMITS:
        cases = [[question, context] for question in QUESTIONS for context in CONTEXTS]
        if stride is not None or limit is None:
            cases += [[context] for context in CONTEXTS]
        for texts in cases:
            windows = {name: encode_windows(tokenizer, texts, limit, stride) for name, tokenizer in tokenizers.items()}
            record = {"texts": texts, "maxLength": limit, "stride": stride, "windows": windows}
            lines.append(json.dumps(record, separators=(",", ":")))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", "ascii")
    return len(lines)
