import type { Encoding } from 'tokenizers';
import type { TokenDetails, TokenizedChunk } from './protocol';
import { characterUnits } from './units';
import type { TokenRange } from './windows';

/** Parts of an encoding that make up one sequence, in their order. */
export interface Sequence {
  encoding: Encoding;
  ranges: readonly TokenRange[];
  /** Index of the text within the request. */
  text: number;
  /** First token that the window before has too; -1 for the first window of a text. */
  repeatsAt: number;
}

/** What the offsets of an encoding count characters of. */
export interface Source {
  text: string;
  pair: string | undefined;
  /** Put before the text; offsets count from behind it. */
  prefix: string;
}

/** All of `encoding`, which is of text number `text`. */
export function wholeSequence(encoding: Encoding, text: number): Sequence {
  return { encoding, ranges: [[0, encoding.getLength()]], text, repeatsAt: -1 };
}

/** Copies the ids of `sequences` into one array. */
export function concatenate(
  sequences: readonly Sequence[],
): Pick<TokenizedChunk, 'ids' | 'lengths' | 'tokenTypes'> {
  const lengths = Int32Array.from(sequences, ({ ranges }) =>
    ranges.reduce((sum, [begin, end]) => sum + end - begin, 0),
  );
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const ids = new Int32Array(total);
  const tokenTypes = new Int32Array(total);
  forEachEncoding(sequences, (encoding, copies) => {
    const encodingIds = encoding.getIds();
    const types = encoding.getTypeIds();
    for (const { begin, end, at } of copies) {
      for (let i = begin; i < end; i++) {
        ids[at + i - begin] = encodingIds[i]!;
        tokenTypes[at + i - begin] = types[i]!;
      }
    }
  });
  return { ids, lengths, tokenTypes: tokenTypes.some((type) => type !== 0) ? tokenTypes : undefined };
}

/**
 * Offsets, words and segments of the tokens of `sequences`.
 *
 * @throws Error for offsets that lie outside of their text.
 */
export function tokenDetails(
  sequences: readonly Sequence[],
  total: number,
  source: (text: number) => Source,
): TokenDetails {
  const offsets = new Int32Array(2 * total);
  const words = new Int32Array(total);
  const segments = new Int8Array(total);
  forEachEncoding(sequences, (encoding, copies, text) => {
    const located = locate(encoding, source(text));
    for (const { begin, end, at } of copies) {
      offsets.set(located.offsets.subarray(2 * begin, 2 * end), 2 * at);
      words.set(located.words.subarray(begin, end), at);
      segments.set(located.segments.subarray(begin, end), at);
    }
  });
  return { offsets, words, segments };
}

interface Copy {
  begin: number;
  end: number;
  /** First token in the result. */
  at: number;
}

/** Calls `copy` once an encoding, with all ranges that the sequences take of it; its windows are neighbours. */
function forEachEncoding(
  sequences: readonly Sequence[],
  copy: (encoding: Encoding, copies: readonly Copy[], text: number) => void,
): void {
  let at = 0;
  for (let i = 0; i < sequences.length;) {
    const { encoding, text } = sequences[i]!;
    const copies: Copy[] = [];
    for (; i < sequences.length && sequences[i]!.encoding === encoding; i++) {
      for (const [begin, end] of sequences[i]!.ranges) {
        copies.push({ begin, end, at });
        at += end - begin;
      }
    }
    copy(encoding, copies, text);
  }
}

/**
 * The tokens that may be left out where a sequence is too long: those of the second text of a pair, or those of
 * the only text behind its prefix.
 *
 * @throws Error if the tokens of the text are no neighbours.
 */
export function bodyOf(encoding: Encoding, paired: boolean, prefix: string): TokenRange {
  const segments = segmentsOf(encoding);
  const segment = paired ? 1 : 0;
  let begin = segments.indexOf(segment);
  const end = segments.lastIndexOf(segment) + 1;
  if (begin < 0) return [segments.length, segments.length];
  if (segments.subarray(begin, end).some((other) => other !== segment)) {
    throw new Error(
      'its post-processor puts special tokens inside of a text, which cannot be cut into windows',
    );
  }
  if (!paired && prefix) {
    const characters = Array.from(prefix).length;
    const offsets = encoding.getOffsets();
    while (begin < end && offsets[begin]![1]! <= characters) begin++;
  }
  return [begin, end];
}

/** Segment of each token: 0 and 1 for the two texts, -1 for special tokens that were added. */
export function segmentsOf(encoding: Encoding): Int8Array {
  return Int8Array.from(encoding.getSequenceIds(), (segment) => segment ?? -1);
}

/** Offsets of the library count characters of the whole first text; these count UTF-16 units behind the prefix. */
function locate(encoding: Encoding, { text, pair, prefix }: Source): TokenDetails {
  const segments = segmentsOf(encoding);
  const words = Int32Array.from(encoding.getWordIds(), (word, i) => (segments[i]! < 0 ? -1 : (word ?? -1)));
  const offsets = new Int32Array(2 * segments.length);
  const units = [characterUnits(prefix + text), characterUnits(pair ?? '')];
  const skipped = [prefix.length, 0];
  encoding.getOffsets().forEach(([begin, end], i) => {
    const segment = segments[i]!;
    if (segment < 0) return;
    const from = units[segment]!(begin!);
    const to = units[segment]!(end!);
    if (from === undefined || to === undefined || from > to) {
      throw new Error(`token ${i} is said to be characters ${begin} to ${end} of a text that has fewer`);
    }
    offsets[2 * i] = Math.max(0, from - skipped[segment]!);
    offsets[2 * i + 1] = Math.max(0, to - skipped[segment]!);
  });
  return { offsets, words, segments };
}
