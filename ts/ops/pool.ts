import { native } from '../errors';
import { addon } from '../native';
import { checkOptions, oneOf } from '../options';
import { type Integers, PackedBatch } from '../packed';
import { streamOption } from '../stream';
import { Tensor } from '../tensor';
import { Call, type FloatTensor, type OpOptions, any } from './call';

export type PoolMode = 'cls' | 'mean' | 'max' | 'lasttoken' | 'weightedmean' | 'mean_sqrt_len';

/** Options of {@link pool}. */
export interface PoolOptions extends OpOptions {
  /** `'mean'` by default. */
  mode?: PoolMode | undefined;
  /** Leading tokens of each sequence that do not count, such as those of a prompt; [B] counts. */
  skip?: Integers | undefined;
}

const poolModes = ['cls', 'mean', 'max', 'lasttoken', 'weightedmean', 'mean_sqrt_len'] as const;

/**
 * One row of each sequence, as sentence-transformers pools: the first token, the mean, the maximum, the last token,
 * the mean weighted by 1, 2, 3, ..., or the sum over the root of the length. An empty sequence gives zeros.
 *
 * @param x [T, H]
 * @returns f32 [B, H]
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function pool(x: FloatTensor, batch: PackedBatch, options?: PoolOptions): Tensor<'f32'> {
  const call = new Call('pool');
  const checked = checkOptions('pool', options, { stream: streamOption, mode: oneOf(poolModes), skip: any });
  const { tokens, sequences } = call.batch(batch);
  const input = call.tensor(x, 'x', 2);
  const cols = input.shape[1]!;
  call.shaped(x, 'x', [tokens, cols]);
  let skip: Int32Array | null = null;
  if (checked.skip !== undefined) {
    skip = PackedBatch.fromSequences([checked.skip as Integers]).ids;
    if (skip.length !== sequences)
      call.fail(`skip has ${skip.length} entries for ${sequences} sequences.`, 'skip');
  }
  const stream = call.stream(checked.stream);
  const handle = native(() =>
    addon.pool(stream.native, input.native, cols, batch, checked.mode ?? 'mean', skip),
  );
  return new Tensor(stream, 'f32', [sequences, cols], handle);
}
