// tokenizer.json as published models have it, made of the fixtures' vocabularies.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const models = join(__dirname, '../goldens/models');

type Json = Record<string, unknown>;

function fixture(name: string): Json {
  return JSON.parse(readFileSync(join(models, name, 'checkpoint/tokenizer.json'), 'utf8')) as Json;
}

/** What Qwen2 splits by, and with `{1,3}` behind `\p{N}` Llama 3. */
export const QWEN2 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const split = (expression: string, behavior = 'Isolated') => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: expression }, behavior, invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});
const metaspace = (scheme: string, whole = false) => ({
  type: 'Metaspace',
  replacement: '▁',
  prepend_scheme: scheme,
  split: !whole,
});
/** An entry of `added_tokens`. */
export const added = (id: number, content: string, rest: Json = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: false,
  ...rest,
});
const withAdded = (json: Json, ...tokens: Json[]): Json => ({
  ...json,
  added_tokens: [...(json['added_tokens'] as Json[]), ...tokens],
});

const bert = fixture('bert');
const roberta = fixture('roberta');
const xlmRoberta = fixture('xlm-roberta');
const camembert = fixture('camembert');
const bertNormalizer = bert['normalizer'] as Json;

/** Kinds of which a beginning may be tokenized without the rest. */
export const localTokenizers: Record<string, Json> = {
  bert,
  'bert, cased': {
    ...bert,
    normalizer: { ...bertNormalizer, lowercase: false, strip_accents: true, handle_chinese_chars: false },
  },
  'bert, with words added': withAdded(
    bert,
    added(5000, 'fox', { single_word: true }),
    added(5001, 'the', { lstrip: true, rstrip: true }),
    added(5002, 'ab', { normalized: true }),
  ),
  'bert, with an ideograph added': withAdded(bert, added(5000, '河', { single_word: true })),
  'mpnet, of normalizers': {
    ...bert,
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'NFD' }, { type: 'Lowercase' }, { type: 'StripAccents' }],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Whitespace' }, { type: 'Digits', individual_digits: false }],
    },
  },
  roberta,
  'roberta, with a prefix space': {
    ...roberta,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  },
  modernbert: withAdded(
    { ...roberta, normalizer: { type: 'NFC' } },
    ...[2, 3, 4].map((count) => added(5000 + count, ' '.repeat(count), { normalized: true })),
    added(5010, '[MASK]', { lstrip: true }),
  ),
  qwen3: { ...roberta, normalizer: { type: 'NFC' }, pre_tokenizer: split(QWEN2) },
  'llama 3, eurobert': {
    ...roberta,
    pre_tokenizer: split(QWEN2.replace(String.raw`\p{N}|`, String.raw`\p{N}{1,3}|`)),
  },
  'xlm-roberta': xlmRoberta,
  t5: { ...xlmRoberta, pre_tokenizer: metaspace('always') },
  'deberta-v3': {
    ...xlmRoberta,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Strip', strip_left: true, strip_right: true },
        xlmRoberta['normalizer'],
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
      ],
    },
    pre_tokenizer: metaspace('first'),
  },
  camembert,
};

/** Kinds of which that is not known. */
export const otherTokenizers: Record<string, Json> = {
  'gemma, whose spaces are letters': {
    ...roberta,
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
  },
  'mistral, without words': { ...roberta, normalizer: null, pre_tokenizer: null },
  'a Metaspace that splits nothing': { ...camembert, pre_tokenizer: metaspace('always', true) },
  'an expression that is not known': { ...roberta, pre_tokenizer: split('\\w+ \\w+|.') },
  'a known expression that removes': { ...roberta, pre_tokenizer: split(QWEN2, 'Removed') },
  'bytes that nothing splits': {
    ...roberta,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  },
  'an added token of two words': withAdded(roberta, added(5000, 'fox the')),
  'a normalizer that is not known': {
    ...bert,
    normalizer: { type: 'Replace', pattern: { Regex: 'a (?=b)' }, content: 'c' },
  },
  'a replacement across words': {
    ...bert,
    normalizer: { type: 'Replace', pattern: { String: 'a b' }, content: 'c' },
  },
  'letters that vanish': {
    ...bert,
    normalizer: { type: 'Replace', pattern: { String: 'x' }, content: '' },
  },
};
