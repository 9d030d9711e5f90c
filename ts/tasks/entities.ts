/** How labels of tokens become entities, as transformers' token-classification pipeline names it. */
export type Aggregation = 'none' | 'simple' | 'first' | 'average' | 'max';

export const AGGREGATIONS = ['none', 'simple', 'first', 'average', 'max'] as const;

/** A token of the text, or a word of several: its scores by label and where it stands, in UTF-16 units. */
export interface ScoredToken {
  scores: Float64Array;
  start: number;
  end: number;
  /** Goes on with the word of the token before. */
  isSubword: boolean;
}

/** A stretch of text with its label: `text.slice(start, end)`, counted in UTF-16 units as JavaScript does. */
export interface Entity {
  /** The label; without its `B-` or `I-` unless `aggregation` is `'none'`. */
  label: string;
  score: number;
  start: number;
  end: number;
  text: string;
}

interface Labelled {
  label: string;
  score: number;
  start: number;
  end: number;
}

function argmax(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

function labelled(
  { scores, start, end }: Omit<ScoredToken, 'isSubword'>,
  labels: readonly string[],
): Labelled {
  const best = argmax(scores);
  return { label: labels[best]!, score: scores[best]!, start, end };
}

/** The scores of a word by those of its tokens. */
function wordScores(tokens: readonly ScoredToken[], aggregation: 'first' | 'average' | 'max'): Float64Array {
  const [first] = tokens as [ScoredToken];
  if (aggregation === 'first') return first.scores;
  if (aggregation === 'average') {
    return first.scores.map(
      (_, i) => tokens.reduce((sum, { scores }) => sum + scores[i]!, 0) / tokens.length,
    );
  }
  const peak = ({ scores }: ScoredToken) => scores[argmax(scores)]!;
  return tokens.reduce((best, token) => (peak(token) > peak(best) ? token : best)).scores;
}

/** Tokens joined to words; a word has one label. */
function words(tokens: readonly ScoredToken[], aggregation: 'first' | 'average' | 'max'): ScoredToken[] {
  const groups: ScoredToken[][] = [];
  for (const token of tokens) {
    if (token.isSubword && groups.length > 0) groups.at(-1)!.push(token);
    else groups.push([token]);
  }
  return groups.map((group) => ({
    scores: wordScores(group, aggregation),
    start: group[0]!.start,
    end: group.at(-1)!.end,
    isSubword: false,
  }));
}

/** A label of the BIO scheme taken apart; one without a prefix goes on with its like. */
function bio(label: string): { begins: boolean; tag: string } {
  const prefixed = label.startsWith('B-') || label.startsWith('I-');
  return { begins: label.startsWith('B-'), tag: prefixed ? label.slice(2) : label };
}

/** Neighbours of one tag become one entity, unless the second begins a new one; its score is their mean. */
function group(items: readonly Labelled[]): Labelled[] {
  const groups: Labelled[][] = [];
  for (const item of items) {
    const { begins, tag } = bio(item.label);
    const last = groups.at(-1)?.at(-1);
    if (last && !begins && bio(last.label).tag === tag) groups.at(-1)!.push(item);
    else groups.push([item]);
  }
  return groups.map((members) => {
    const { label, start } = members[0]!;
    const score = members.reduce((sum, member) => sum + member.score, 0) / members.length;
    return { label: label.slice(label.indexOf('-') + 1), score, start, end: members.at(-1)!.end };
  });
}

/** The entities of the tokens of one window, in the order of the text; `ignored` labels are left out. */
export function aggregate(
  tokens: readonly ScoredToken[],
  labels: readonly string[],
  aggregation: Aggregation,
  ignored: readonly string[],
): Labelled[] {
  const joined =
    aggregation === 'first' || aggregation === 'average' || aggregation === 'max'
      ? words(tokens, aggregation)
      : tokens;
  const items = joined.map((token) => labelled(token, labels));
  const entities = aggregation === 'none' ? items : group(items);
  return entities.filter(({ label }) => !ignored.includes(label));
}

/** Of entities from windows that overlap, the longer one stays, then the one with the higher score. */
export function mergeWindows(windows: readonly (readonly Labelled[])[]): Labelled[] {
  if (windows.length === 1) return [...windows[0]!];
  const merged: Labelled[] = [];
  for (const entity of windows.flat().sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (!last || entity.start >= last.end) {
      merged.push(entity);
      continue;
    }
    const longer = entity.end - entity.start - (last.end - last.start);
    if (longer > 0 || (longer === 0 && entity.score > last.score)) merged[merged.length - 1] = entity;
  }
  return merged;
}
