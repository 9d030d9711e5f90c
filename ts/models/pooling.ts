import { PadlessError } from '../errors';
import type { Reader } from './reader';

/** How a sequence of vectors becomes one. */
export type PoolingMode = 'cls' | 'mean' | 'max' | 'lasttoken' | 'weightedmean' | 'mean_sqrt_len';

/** The words of `pooling_mode`. */
const MODES = {
  cls: 'cls',
  max: 'max',
  mean: 'mean',
  mean_sqrt_len_tokens: 'mean_sqrt_len',
  weightedmean: 'weightedmean',
  lasttoken: 'lasttoken',
} as const satisfies Record<string, PoolingMode>;

const WORDS = Object.keys(MODES) as (keyof typeof MODES)[];

/** The booleans of sentence-transformers up to 5.3, in the order in which it concatenates. */
const LEGACY_FLAGS: readonly (readonly [string, PoolingMode])[] = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_max_tokens', 'max'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_mean_sqrt_len_tokens', 'mean_sqrt_len'],
  ['pooling_mode_weightedmean_tokens', 'weightedmean'],
  ['pooling_mode_lasttoken', 'lasttoken'],
];

/** `pooling_mode`, a word or a list; otherwise the flags that are true; mean where neither says anything. */
function readModes(field: Reader): PoolingMode[] {
  const legacy = LEGACY_FLAGS.filter(([name]) => field.boolean(name, false)).map(([, mode]) => mode);
  for (const name of field.keys()) {
    if (name.startsWith('pooling_mode_') && !field.consumed.has(name)) {
      throw field.error(
        name,
        `is not supported; supported are ${LEGACY_FLAGS.map(([flag]) => flag).join(', ')}`,
        'E_UNSUPPORTED',
      );
    }
  }
  const value = field.raw('pooling_mode');
  if (value === undefined) return legacy.length > 0 ? legacy : ['mean'];
  const words = Array.isArray(value)
    ? field.listOf('pooling_mode', WORDS)
    : [field.oneOf('pooling_mode', WORDS)];
  if (words.length === 0) {
    throw new PadlessError('E_BAD_CONFIG', `${field.file}: "pooling_mode" must name at least one mode.`, {
      field: 'pooling_mode',
    });
  }
  return words.map((word) => MODES[word]);
}

/** Reads a Pooling module's config.json in its legacy or its new form. */
export function readPooling(field: Reader): {
  pooling: PoolingMode[];
  includePrompt: boolean;
  embeddingDimension?: number;
} {
  const embeddingDimension = field.optionalInteger(['embedding_dimension', 'word_embedding_dimension'], {
    min: 1,
  });
  return {
    pooling: readModes(field),
    includePrompt: field.boolean('include_prompt', true),
    ...(embeddingDimension !== undefined && { embeddingDimension }),
  };
}
