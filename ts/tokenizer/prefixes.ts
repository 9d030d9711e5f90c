// Beginnings of long texts: as much as a sequence within the limit can need.
import type { Locality } from './protocol';

/** Letters and digits that are no part of what stands beside them, in scripts whose words have spaces between them. */
const RANGES = '0-9A-Za-zÀ-ÖØ-öø-ſͰ-ͳΆΈ-ΊΌΎ-ΡΣ-ώЀ-ҁԱ-Ֆա-ևא-תء-يक-ह가-힣';
const HAN_RANGE = '一-鿿';

export const HAN = new RegExp(`[${HAN_RANGE}]`);

/** All of them. */
export const LETTERS: readonly string[] = [...RANGES.matchAll(/(.)-(.)|./g)].flatMap(([all, first, last]) => {
  if (first === undefined) return [all];
  const [begin, end] = [first.charCodeAt(0), last!.charCodeAt(0)];
  return Array.from({ length: end - begin + 1 }, (_, i) => String.fromCharCode(begin + i));
});

const words = `(?<=[${RANGES}]) (?=[${RANGES}])`;
/** Places of a text where it may be cut. */
export const CUTS: Record<Locality, RegExp> = {
  words: new RegExp(words),
  wordsAndHan: new RegExp(`${words}|(?<=[${HAN_RANGE}])(?=[${HAN_RANGE}])`),
};

/** Characters in which a place to cut is looked for. */
const WINDOW = 4096;

/** The beginning of `text`, of `characters` or a little more; undefined for a text that is not much longer. */
export function beginning(text: string, characters: number, locality: Locality): string | undefined {
  if (text.length <= 2 * characters + WINDOW) return undefined;
  const at = text.slice(characters, characters + WINDOW).search(CUTS[locality]);
  return at < 0 ? undefined : text.slice(0, characters + at);
}

/** Texts of which some are cut. */
export interface Beginnings {
  texts: string[];
  pairs: string[] | undefined;
  /** The part of each that is cut: 0 for the text, 1 for its pair. */
  cut: (0 | 1 | undefined)[];
}

/** Cuts what is long: of a pair one text, `onlySecond` says which. Undefined if nothing is. */
export function beginnings(
  { texts, pairs, onlySecond }: { texts: string[]; pairs: string[] | undefined; onlySecond: boolean },
  characters: number,
  locality: Locality,
): Beginnings | undefined {
  const result: Beginnings = {
    texts: [...texts],
    pairs: pairs && [...pairs],
    cut: texts.map(() => undefined),
  };
  texts.forEach((text, i) => {
    const first = pairs && onlySecond ? undefined : beginning(text, characters, locality);
    const second = pairs && beginning(pairs[i]!, characters, locality);
    // Of two long texts the library cuts by their lengths.
    if ((first === undefined) === (second === undefined)) return;
    if (first !== undefined) result.texts[i] = first;
    else result.pairs![i] = second!;
    result.cut[i] = first !== undefined ? 0 : 1;
  });
  return result.cut.some((side) => side !== undefined) ? result : undefined;
}
