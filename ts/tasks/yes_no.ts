import { PadlessError } from '../errors';
import type { TokenizedChunk } from '../tokenizer/protocol';
import type { Tokenizer } from '../tokenizer/tokenizer';

/** The question that Qwen3-Reranker (arXiv:2506.05176, section 2) was trained on, in its chat format. */
const PREFIX =
  '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct ' +
  'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n';
const SUFFIX = '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';

/** Most tokens of a question, by its model card. */
export const QUESTION_TOKENS = 8192;

/** The instruction that the model card gives for search. */
export const DEFAULT_INSTRUCTION =
  'Given a web search query, retrieve relevant passages that answer the query';

/** What stands between prefix and suffix. */
export function question(instruction: string, query: string, document: string): string {
  return `<Instruct>: ${instruction}\n<Query>: ${query}\n<Document>: ${document}`;
}

/** The ids around a question. */
export interface Affixes {
  prefix: Int32Array;
  suffix: Int32Array;
}

/** The ids of `texts`, each by itself and without special tokens. */
async function idsOf(tokenizer: Tokenizer, texts: string[]): Promise<Int32Array[]> {
  const { ids, lengths } = await tokenizer.encode(texts, { specialTokens: false });
  let end = 0;
  return Array.from(lengths, (length) => ids.slice(end, (end += length)));
}

/** The affixes by a model's tokenizer. */
export async function readAffixes(tokenizer: Tokenizer): Promise<Affixes> {
  const [prefix, suffix] = await idsOf(tokenizer, [PREFIX, SUFFIX]);
  return { prefix: prefix!, suffix: suffix! };
}

/**
 * The tokens "no" and "yes": the columns of the logits that are compared.
 *
 * @throws PadlessError E_BAD_TOKENIZER where they are no tokens.
 */
export async function noAndYes(tokenizer: Tokenizer): Promise<[number, number]> {
  const words = ['no', 'yes'];
  const ids = await idsOf(tokenizer, words);
  const wrong = ids.findIndex(({ length }) => length !== 1);
  if (wrong < 0) return [ids[0]![0]!, ids[1]![0]!];
  throw new PadlessError(
    'E_BAD_TOKENIZER',
    `The tokenizer has no token "${words[wrong]}", one of the two answers that a reranker made of a language model gives.`,
    { field: 'tokenizer.json' },
  );
}

/** Puts the affixes around every sequence. */
export async function* surrounded(
  chunks: AsyncIterable<TokenizedChunk>,
  { prefix, suffix }: Affixes,
): AsyncGenerator<TokenizedChunk> {
  const added = prefix.length + suffix.length;
  for await (const { ids, lengths } of chunks) {
    const all = new Int32Array(ids.length + added * lengths.length);
    let from = 0;
    let to = 0;
    for (const length of lengths) {
      all.set(prefix, to);
      all.set(ids.subarray(from, from + length), to + prefix.length);
      all.set(suffix, to + prefix.length + length);
      from += length;
      to += length + added;
    }
    yield { ids: all, tokenTypes: undefined, lengths: lengths.map((length) => length + added) };
  }
}
