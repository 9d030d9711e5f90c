import { PadlessError } from './errors';
import type { NativeAttentionPlan } from './native';
import { type Check, checkOptions, integer, oneOf } from './options';

/** How a GPU cuts the attention over a batch into launches, see {@link DeviceOptions.attention}. */
export interface AttentionPlanOptions {
  /**
   * - `'auto'` (the default): what was the fastest on this kind of GPU. Where that is not measured, as now everywhere,
   *   `'grouped'` by lengths of up to 64 and 128 tokens, on compute capability 9.0 with head dims of up to 64 also 256,
   *   and longer ones.
   * - `'single'`: one launch of the kernel for any length.
   * - `'grouped'`: one launch for the sequences of each bucket, by the kernel made for that length, on several streams.
   * - `'persistent'`: one launch of as many blocks as the GPU holds, which fetch tiles, those of the most work first.
   */
  strategy?: 'auto' | 'single' | 'grouped' | 'persistent';
  /**
   * `'grouped'`: the most tokens of a sequence in each bucket but the last, which takes all longer ones; at most 8
   * numbers, each greater than the one before. `[64, 128, 256]` by default; none is one bucket.
   */
  bucketEdges?: readonly number[];
  /** `'grouped'` and `'auto'`: the most CUDA streams that launch buckets side by side, from 1 to 16; 4 by default. */
  streams?: number;
}

const MOST_EDGES = 8;
const LONGEST = 2 ** 31 - 1;
const defaultEdges: readonly number[] = [64, 128, 256];
const defaultStreams = 4;

const edges: Check<readonly number[]> = (value, fail) => {
  const rises = (edge: unknown, i: number, all: unknown[]): boolean =>
    Number.isInteger(edge) &&
    (edge as number) > (i === 0 ? 0 : (all[i - 1] as number)) &&
    (edge as number) <= LONGEST;
  return Array.isArray(value) && value.length <= MOST_EDGES && value.every(rises)
    ? (value as number[])
    : fail(
        `an array of at most ${MOST_EDGES} integers from 1 to ${LONGEST}, each greater than the one before`,
      );
};

const fields = {
  strategy: oneOf(['auto', 'single', 'grouped', 'persistent']),
  bucketEdges: edges,
  streams: integer(1, 16),
};

/** An option without effect would make one measure something else than one thinks. */
function refuse(field: string, strategy: string, fix: string): never {
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    `device.attention: option "${field}" has no effect with strategy "${strategy}"; set strategy: ${fix}, or leave it out.`,
    { field },
  );
}

/** Checks the option, and fills in what it leaves out. Plans that mean the same become equal. */
export function attentionPlan(value: unknown): NativeAttentionPlan {
  const { strategy = 'auto', bucketEdges, streams } = checkOptions('device.attention', value, fields);
  const grouped = strategy === 'grouped';
  if (bucketEdges !== undefined && !grouped) refuse('bucketEdges', strategy, '"grouped"');
  const forks = grouped || strategy === 'auto';
  if (streams !== undefined && !forks) refuse('streams', strategy, '"grouped" or "auto"');
  return {
    strategy,
    bucketEdges: Int32Array.from(grouped ? (bucketEdges ?? defaultEdges) : []),
    streams: forks ? (streams ?? defaultStreams) : 1,
  };
}
