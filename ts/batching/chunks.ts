import type { EncodeOptions, Tokenizer } from '../tokenizer/tokenizer';
import type { TokenizedChunk } from '../tokenizer/protocol';

/** Texts of one request to the tokenizer thread: few enough that handing them over takes well below 1 ms. */
const CHUNK_TEXTS = 256;
const CHUNK_CHARACTERS = 64 * 1024;

/** Requests that wait in the tokenizer thread while a batch is computed. */
const AHEAD = 2;

/**
 * Consecutive ranges [start, end) of texts (with their pairs), each of at most a chunk's texts and characters, or of
 * one text.
 */
export function* chunkRanges(
  texts: readonly string[],
  pairs?: readonly string[],
): Generator<[start: number, end: number]> {
  let start = 0;
  let characters = 0;
  for (let i = 0; i < texts.length; i++) {
    const length = texts[i]!.length + (pairs?.[i]!.length ?? 0);
    if (i > start && (i - start >= CHUNK_TEXTS || characters + length > CHUNK_CHARACTERS)) {
      yield [start, i];
      start = i;
      characters = 0;
    }
    characters += length;
  }
  if (start < texts.length) yield [start, texts.length];
}

/** Tokenizes `texts` (with `options.pairs`) in order, chunk by chunk, a little ahead of whoever consumes them. */
export async function* tokenizeChunks(
  tokenizer: Tokenizer,
  texts: readonly string[],
  options: EncodeOptions,
): AsyncGenerator<TokenizedChunk> {
  const waiting: Promise<TokenizedChunk>[] = [];
  for (const [start, end] of chunkRanges(texts, options.pairs)) {
    const chunk = tokenizer.encode(texts.slice(start, end), {
      ...options,
      pairs: options.pairs?.slice(start, end),
      firstIndex: start,
    });
    // Awaited in turn; a failure in the meantime is not an unhandled one.
    chunk.catch(() => {});
    waiting.push(chunk);
    if (waiting.length > AHEAD) yield await waiting.shift()!;
  }
  for (const chunk of waiting) yield await chunk;
}
