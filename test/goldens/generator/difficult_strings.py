"""Texts on which tokenizers disagree, and the ids that the Rust tokenizers library gives for them."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer

SEED = 20261

EMPTY_AND_BLANK = [
    "",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u200b",
    " \n\t\r ",
    "\u2028\u2029",
    "\u0085",
]

WHITESPACE = [
    " leading",
    "trailing ",
    "  two  spaces  inside  ",
    "tab\tseparated\tvalues",
    "line\nbreaks\n\nand\r\nmore\r",
    "non\u00a0breaking\u00a0space",
    "em\u2003space and thin\u2009space and hair\u200aspace",
    "ideographic\u3000space",
    "zero\u200bwidth\u200bspace",
    "word\u2060joiner",
    "soft\u00adhyphen",
    "form\ffeed vertical\vtab",
    "a" + " " * 40 + "b",
    "\u1680ogham\u1680space",
    "narrow\u202fno-break",
    "\ufeffbyte order mark",
]

CONTROL = [
    "nul\x00inside",
    "\x00",
    "\x00\x00\x00",
    "bell\x07 and backspace\x08",
    "escape\x1b[31mred\x1b[0m",
    "delete\x7f",
    "c1\x80\x9fcontrols",
    "unit\x1fseparator",
    "replacement\ufffdcharacter",
    "\ufffe\uffff nonchars",
    "\u0001\u0002",
    "private \ue000 use \U000f0000",
    "interlinear \ufff9a\ufffab\ufffb",
    "bidi \u202eoverride\u202c off",
    "isolate \u2066text\u2069",
    "mark \u200e\u200f marks",
    "tags \U000e0041\U000e0042",
    "variation\ufe0f selector\ufe0e",
]

EMOJI = [
    "😀",
    "👍🏽",
    "👨‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇩🇪🇫🇷",
    "☃️",
    "❤️‍🔥",
    "1️⃣2️⃣",
    "I ❤ bread 🍞!",
    "harbour⚓morning🌅",
    "🧑🏿‍🚀",
    "👩‍🔬 measures",
    "😀😀😀😀",
    "text😀text",
    "🫠🪿",
    "©®™",
    "♀♂⚥",
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
]

SCRIPTS = [
    "港口的早晨很安静",
    "船夫数着箱子。",
    "古い時計は今日も少し遅れている",
    "ｶﾀｶﾅ half width",
    "ＦＵＬＬ　ＷＩＤＴＨ１２３",
    "항구의 아침",
    "ㅎㅏㄴ",
    "\u1112\u1161\u11ab",
    "漢字かなカナ混じり文",
    "𠮷野家",
    "中文and英文mixed混合",
    "3個のリンゴ",
    "السلام عليكم",
    "المركب القديم",
    "שָׁלוֹם עולם",
    "הספר",
    "नदी धीरे बहती है",
    "क्षत्रिय",
    "ภาษาไทย",
    "বাংলা",
    "தமிழ்",
    "ქართული",
    "Հայերեն",
    "Ελληνικά ΣΊΣΥΦΟΣ",
    "Старый мост",
    "Ёж и ёлка",
    "Việt Nam đẹp",
    "မြန်မာ",
    "ខ្មែរ",
    "አማርኛ",
    "𝔉𝔯𝔞𝔨𝔱𝔲𝔯",
    "𐍈𐌰𐌹",
    "𓀀𓀁",
    "ᏣᎳᎩ",
    "abc العربية def",
]

ACCENTS = [
    "café",
    "cafe\u0301",
    "naïve façade",
    "ÀÉÎÕÜ",
    "A\u0300E\u0301",
    "o\u0302\u0323",
    "\u0323\u0302o",
    "Zalgo z\u0351\u0352\u0353a\u0354",
    "İstanbul ıI",
    "Straße STRASSE ẞ",
    "ŒUVRE æther",
    "Łódź",
    "Đà Nẵng",
    "ǅ ǆ Ǆ",
    "ﬁ ﬂ ﬃ ﬀ",
    "½ ¼ ² ³ ₂",
    "Å Å Å",
    "ſtreet",
    "Ω Ω",
    "Ⅷ ⅷ ① ⑳ ㎏ ㍿",
    "é\u0301\u0301\u0301",
    "\u0301",
    "a\u034f\u0301",
    "ÿ Ÿ",
    "ŉ ǰ ΐ",
    "Ⱥ ⱥ",
]

SPECIAL_LOOKALIKES = [
    "[CLS]",
    "[SEP]",
    "[PAD] [UNK]",
    "[MASK]",
    "a [MASK] b",
    "a[MASK]b",
    "[cls]",
    "[CLS",
    "CLS]",
    "[ CLS ]",
    "<s>",
    "</s>",
    "<s></s>",
    "a</s>b",
    "a </s> b",
    "<pad>",
    "<unk>",
    "<mask>",
    "a <mask> b",
    "a<mask>b",
    "a  <mask>  b",
    "< s >",
    "<S>",
    "##ing",
    "## hash",
    "▁under",
    "▁",
    "Ġword",
    "Ċ",
    "<|endoftext|>",
    "<0x41>",
    "[unused1]",
    "[CLS][SEP][CLS]",
    "<mask><mask>",
    "▁▁▁",
]

PUNCTUATION = [
    "don't can't won't I'll you've",
    "“curly” ‘quotes’ „low“ «guillemets»",
    "em—dash en–dash hyphen-minus ‐ ‑",
    "…ellipsis...",
    "a.b,c;d:e!f?g",
    "(round) [square] {curly} <angle>",
    "C++ C# F# .NET",
    "user@example.com",
    "https://example.com/a?b=c&d=%20#e",
    "$1,234.56 €7,89 £3 ¥100 ₹50",
    "3.14159e-10 0x7F 1_000",
    "10:45-12:30",
    "~`!@#$%^&*()_+-=[]{}|\\;:'\",.<>/?",
    "¿Qué? ¡No!",
    "a/b\\c",
    "!!!!!!!!",
    "--------",
    "snake_case camelCase PascalCase kebab-case",
    "x²+y²=z²",
    "→ ⇒ ∀x∈ℝ ∃y",
    "ʼn ʻokina",
    "٣٤٥ ४५६",
    "。、！？「」",
    "&amp; &lt;",
    '""',
    "''",
    "'s 's'S",
    " 's 't 're 've 'm 'll 'd",
    "\\n \\u0041",
]

PROSE = [
    "The harbour wakes before the town does.",
    "HOW DOES A CLOCK KNOW WHAT TIME IT IS?",
    "Rivers do not like straight lines",
    "The school stands at the top of two hundred and twelve steps.",
    "Supercalifragilisticexpialidocious",
    "In the year 1962 it cost 17.50.",
    "Le facteur a laissé une lettre sous la porte.",
    "Größere Säcke über die Straße",
]

LONG = [
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "harbour" * 60,
    "é" * 120,
    "港" * 150,
    "😀" * 40,
    "1234567890" * 30,
    "x" * 1000,
    "ab " * 400,
    "-" * 300,
    "the " * 200,
    "\u0301" * 50,
    "a\u0301" * 120,
    "word" + "\u200d" * 30 + "word",
]

# Each unpaired surrogate is one U+FFFD: what a JavaScript engine writes as UTF-8, and so what the library sees.
LONE_SURROGATES = [
    "\ud800",
    "a\ud83db",
    "\udc00\ud800",
    "end\ud83d",
    "\ude00start",
    "😀\ud83d😀",
    "\ud800\ud800\ud800",
    "x \udfff y",
]

GROUPS = [
    EMPTY_AND_BLANK,
    WHITESPACE,
    CONTROL,
    EMOJI,
    SCRIPTS,
    ACCENTS,
    SPECIAL_LOOKALIKES,
    PUNCTUATION,
    PROSE,
    LONG,
    LONE_SURROGATES,
]


def well_formed(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def _random_mixtures(count: int) -> list[str]:
    """Concatenations of pieces of the texts above: neighbours that nobody thought of."""
    source = random.Random(SEED)
    pool = [text for group in GROUPS[:-2] for text in group if text]
    return ["".join(source.choice(pool)[: source.randint(1, 12)] for _ in range(6)) for _ in range(count)]


def _cases():
    texts = [text for group in GROUPS for text in group] + _random_mixtures(24)
    for text in texts:
        yield {"text": text}
    for text in texts[5::9]:
        yield {"text": text, "maxLength": 16}
    for text, pair in zip(texts[3::13], texts[7::11]):
        yield {"text": text, "pair": pair}
    for text, pair in zip(LONG, PROSE + EMOJI):
        yield {"text": text, "pair": pair, "maxLength": 16}
        yield {"text": pair, "pair": text, "maxLength": 16}


def utf16_offsets(text: str, offsets) -> list[list[int]]:
    """Code point offsets as offsets in UTF-16 units, which is how JavaScript counts."""
    units = [0]
    for character in text:
        units.append(units[-1] + (2 if ord(character) > 0xFFFF else 1))
    return [[units[start], units[end]] for start, end in offsets]


def write(tokenizers: dict[str, Tokenizer], path: Path, with_offsets_below: int = 40) -> int:
    """Writes one JSON record a line; see README.md, "Tokenizer strings". Returns the number of records."""
    lines = []
    for case in _cases():
        record = {**case, "ids": {}, "typeIds": {}, "offsets": {}}
        for name, tokenizer in tokenizers.items():
            if "maxLength" in case:
                tokenizer.enable_truncation(case["maxLength"], strategy="longest_first")
            else:
                tokenizer.no_truncation()
            pair = case.get("pair")
            text = well_formed(case["text"])
            encoding = tokenizer.encode(text, pair if pair is None else well_formed(pair))
            record["ids"][name] = encoding.ids
            if pair is not None and any(encoding.type_ids):
                record["typeIds"][name] = encoding.type_ids
            if pair is None and len(encoding.ids) < with_offsets_below:
                record["offsets"][name] = utf16_offsets(text, encoding.offsets)
        lines.append(json.dumps({key: value for key, value in record.items() if value != {}}, separators=(",", ":")))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", "ascii")
    return len(lines)
