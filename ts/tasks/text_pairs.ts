import { PadlessError } from '../errors';
import { checkTexts } from './inputs';

/** Two texts that share a sequence, such as premise and hypothesis. */
export interface TextPair {
  text: string;
  pair: string;
}

/** Texts, and for pairs their second texts. */
export interface TextsAndPairs {
  texts: string[];
  pairs: string[] | undefined;
}

function isPair(value: unknown): value is TextPair {
  const { text, pair } = (value ?? {}) as Partial<TextPair>;
  return typeof value === 'object' && typeof text === 'string' && typeof pair === 'string';
}

/** One text or pair, or a list of either kind. */
export function checkTextsOrPairs(input: unknown): TextsAndPairs {
  const list: unknown[] = Array.isArray(input) ? input : [input];
  if (!list.some((value) => typeof value === 'object' && value !== null && !Array.isArray(value))) {
    return { texts: checkTexts(input), pairs: undefined };
  }
  const wrong = list.findIndex((value) => !isPair(value));
  if (wrong >= 0) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `texts[${wrong}] must be { text, pair }, two strings, as the others are: texts and pairs do not mix.`,
      { field: `texts[${wrong}]` },
    );
  }
  const pairs = list as TextPair[];
  return { texts: pairs.map(({ text }) => text), pairs: pairs.map(({ pair }) => pair) };
}
