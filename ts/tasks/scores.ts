/** What turns the logits of one text into scores. */
export type ScoreActivation = 'softmax' | 'sigmoid' | 'none';

export const SCORE_ACTIVATIONS = ['softmax', 'sigmoid', 'none'] as const;

/** exp(x - max) over its sum, in float64. */
export function softmax(logits: ArrayLike<number>): Float64Array {
  const scores = Float64Array.from(logits);
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i]! - largest);
  return scores.map((value) => value / sum);
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Scores of the logits of one text. */
export function activate(logits: ArrayLike<number>, activation: ScoreActivation): Float64Array {
  if (activation === 'softmax') return softmax(logits);
  const scores = Float64Array.from(logits);
  return activation === 'sigmoid' ? scores.map(sigmoid) : scores;
}

/** The indices of the `count` largest scores, the largest first; of equal ones, the lower index. */
export function largest(scores: ArrayLike<number>, count: number): number[] {
  const order = Array.from(scores, (_, i) => i);
  return order.sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, count);
}
