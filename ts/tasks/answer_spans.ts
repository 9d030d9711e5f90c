import { softmax } from './scores';

/** Tokens of one window of a context, with the start and end logits of each. */
export interface AnswerWindow {
  /** [T, 2]: start and end logits. */
  logits: Float32Array;
  /** [T]: whether an answer may hold the token: those of the context. */
  inContext: readonly boolean[];
  /** [T, 2]: begin and end of each token in the context, in UTF-16 units. */
  offsets: Int32Array;
  /** [T]: the token's word; -1 for none. */
  words: Int32Array;
}

/** Tokens `first` to `last` of a window. */
export interface Span {
  first: number;
  last: number;
  score: number;
}

/** Probabilities over the context's tokens and the first one, the model's word for "no answer". */
function probabilities({ logits, inContext }: AnswerWindow, column: 0 | 1): Float64Array {
  const masked = inContext.map((isIn, t) => (isIn || t === 0 ? logits[2 * t + column]! : -Infinity));
  return softmax(masked);
}

/** Puts `span` into the list of the `count` best, which is ordered. */
function insert(best: Span[], span: Span, count: number): void {
  if (best.length === count && span.score <= best.at(-1)!.score) return;
  let at = best.length;
  while (at > 0 && best[at - 1]!.score < span.score) at--;
  best.splice(at, 0, span);
  if (best.length > count) best.pop();
}

/**
 * The `count` best spans of at most `maxTokens` tokens, by the probability of their first token as a start times
 * that of their last as an end, and the score of "no answer": the same of the first token (BERT,
 * arXiv:1810.04805, sections 4.2 and 4.3; normalised as transformers' question-answering pipeline does).
 */
export function bestSpans(
  window: AnswerWindow,
  count: number,
  maxTokens: number,
): { spans: Span[]; noAnswer: number } {
  const [starts, ends] = [probabilities(window, 0), probabilities(window, 1)];
  const spans: Span[] = [];
  for (let first = 1; first < starts.length; first++) {
    if (!window.inContext[first]) continue;
    const limit = Math.min(ends.length, first + maxTokens);
    for (let last = first; last < limit && window.inContext[last]; last++) {
      insert(spans, { first, last, score: starts[first]! * ends[last]! }, count);
    }
  }
  return { spans, noAnswer: starts.length > 0 ? starts[0]! * ends[0]! : 0 };
}

/** Where a span stands in the context, widened to whole words. */
export function characters(
  { offsets, words, inContext }: AnswerWindow,
  { first, last }: Span,
): [number, number] {
  const sameWord = (a: number, b: number) => inContext[b] && words[a] !== -1 && words[a] === words[b];
  while (first > 0 && sameWord(first, first - 1)) first--;
  while (last + 1 < words.length && sameWord(last, last + 1)) last++;
  return [offsets[2 * first]!, offsets[2 * last + 1]!];
}
