// Whether what a tokenizer makes of a text's beginning can be known without the rest.
import { HAN, LETTERS } from './prefixes';
import type { Locality } from './protocol';

/** What is read of tokenizer.json: all but the vocabulary. */
interface Pipeline {
  added_tokens?: readonly { content: string }[];
  normalizer: Step | null;
  pre_tokenizer: Step | null;
}

interface Pattern {
  String?: string;
  Regex?: string;
}

interface Step {
  type: string;
  normalizers?: readonly Step[];
  pretokenizers?: readonly Step[];
  pattern?: Pattern;
  handle_chinese_chars?: boolean;
  use_regex?: boolean;
  split?: boolean;
  behavior?: string;
  invert?: boolean;
}

/** tokenizer.json up to its "model", the last key that the library writes; undefined for another order. */
export function readPipeline(file: Buffer): Pipeline | undefined {
  // In a vocabulary the key may stand before a number, and in a string its quotes are escaped.
  const end = /"model"\s*:\s*\{/.exec(file.toString('latin1'))?.index ?? 0;
  try {
    const head = file.subarray(0, end).toString().replace(/,\s*$/, '}');
    const pipeline = JSON.parse(head) as Partial<Pipeline>;
    const isWhole = pipeline.normalizer !== undefined && pipeline.pre_tokenizer !== undefined;
    return isWhole ? (pipeline as Pipeline) : undefined;
  } catch {
    return undefined;
  }
}

/** Of one character, or within a cluster of characters that no space belongs to. */
const LOCAL_NORMALIZERS = [
  'BertNormalizer',
  'Lowercase',
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'Nmt',
  'Precompiled',
  'Strip',
  'StripAccents',
];
const LOCAL_EXPRESSIONS = ['[\\n\\r\\t]', ' {2,}', '\\s+'];
const crossesWords = (text: string) => /\S\s|\s\S/.test(text);

function isLocal({ type, normalizers, pattern }: Step): boolean {
  if (type === 'Sequence') return normalizers!.every(isLocal);
  if (type !== 'Replace') return LOCAL_NORMALIZERS.includes(type);
  if (pattern?.Regex !== undefined) return LOCAL_EXPRESSIONS.includes(pattern.Regex);
  return !!pattern?.String && !crossesWords(pattern.String);
}

/** Qwen2's expression; that of Llama 3 takes up to three digits at once. Neither looks beyond a single space. */
const EXPRESSION =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Whether a step cuts before (or at) a space between letters; undefined for one that is not known to be local. */
function cutsAtSpaces(step: Step): boolean | undefined {
  switch (step.type) {
    case 'Sequence': {
      const steps = step.pretokenizers!.map(cutsAtSpaces);
      return steps.includes(undefined) ? undefined : steps.includes(true);
    }
    case 'BertPreTokenizer':
    case 'Whitespace':
    case 'WhitespaceSplit':
      return true;
    case 'ByteLevel':
      return step.use_regex !== false;
    case 'Metaspace':
      return step.split !== false || undefined;
    case 'Digits':
    case 'Punctuation':
      return false;
    case 'Split': {
      const isKnown = step.pattern?.Regex?.replace('{1,3}', '') === EXPRESSION;
      return (isKnown && step.behavior === 'Isolated' && step.invert !== true) || undefined;
    }
    default:
      return undefined;
  }
}

/** What the normalizer makes of each of `words`, some at a time: of a long text it keeps memory after its end. */
function normalizeWords(words: readonly string[], normalize: (text: string) => string): string[] {
  const groups = Array.from({ length: Math.ceil(words.length / 64) }, (_, i) =>
    words.slice(64 * i, 64 * (i + 1)),
  );
  return groups.flatMap((group) => normalize(group.join(' ')).split(' '));
}

/**
 * Where a text may be cut so that the tokens of its beginning are those that they are in the whole text. At a single
 * space between two letters nothing reaches across: no added token, no step of the normalizer, and the pre-tokenizer
 * begins a word there, which the model takes by itself. A BertNormalizer parts ideographs as well. Undefined where
 * this is not known of a step, or where the normalizer (`normalize`) makes something else of the letters.
 */
export function localityOf(
  { added_tokens: added = [], normalizer, pre_tokenizer: words }: Pipeline,
  normalize: (text: string) => string,
): Locality | undefined {
  if (normalizer && !isLocal(normalizer)) return undefined;
  if (!words || !cutsAtSpaces(words)) return undefined;
  if (added.some(({ content }) => crossesWords(content.normalize('NFKC')))) return undefined;
  const letters = normalizeWords(LETTERS, normalize);
  if (letters.length !== LETTERS.length || letters.some((letter) => /^$|\s|▁/.test(letter))) return undefined;
  const partsHan = normalizer?.type === 'BertNormalizer' && normalizer.handle_chinese_chars === true;
  const addsHan = added.some(({ content }) => HAN.test(content.normalize('NFKC')));
  return partsHan && words.type === 'BertPreTokenizer' && !addsHan ? 'wordsAndHan' : 'words';
}
