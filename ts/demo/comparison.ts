import { packed, tokenBatches } from '../batching/batches';
import type { Encoder } from '../encoder';
import { throwIfAborted } from '../errors';
import type { PackedBatch } from '../packed';

/** One way to run the sequences. */
export type Strategy = 'padded' | 'sorted' | 'packed';

/** What one strategy costs. */
export interface Cost {
  /** Tokens that the encoder computes, padding included. */
  tokens: number;
  /** Share of them that is text. */
  fill: number;
  /** Median over the rounds. */
  milliseconds: number;
}

export type Comparison = Record<Strategy, Cost>;

export interface ComparisonOptions {
  /** Sequences of one batch. */
  batchSize: number;
  rounds: number;
  padId: number;
  signal?: AbortSignal;
}

const byLength = (a: Int32Array, b: Int32Array) => a.length - b.length;

/** `sequences` in groups of `size`. */
function grouped<T>(sequences: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(sequences.length / size) }, (_, i) =>
    sequences.slice(i * size, (i + 1) * size),
  );
}

function pad(group: readonly Int32Array[], padId: number): Int32Array[] {
  const length = Math.max(...group.map((sequence) => sequence.length));
  return group.map((sequence) => {
    const padded = new Int32Array(length).fill(padId);
    padded.set(sequence);
    return padded;
  });
}

/** A group back to back. */
async function batch(group: readonly Int32Array[]): Promise<PackedBatch> {
  async function* chunks() {
    for (const ids of group) yield { ids, tokenTypes: undefined, lengths: Int32Array.of(ids.length) };
  }
  for await (const tokens of tokenBatches(chunks(), Infinity)) return packed(tokens);
  throw new RangeError('an empty group');
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const tokensOf = (groups: readonly (readonly Int32Array[])[]) =>
  groups.flat().reduce((sum, sequence) => sum + sequence.length, 0);

/**
 * Times the same sequences through the same engine: padded to the longest of each batch, padded after sorting by
 * length, and packed. Rounds of the three alternate, so that what else the machine does hits all alike.
 */
export async function compare(
  encoder: Encoder,
  sequences: readonly Int32Array[],
  { batchSize, rounds, padId, signal }: ComparisonOptions,
): Promise<Comparison> {
  const groups = grouped(sequences, batchSize);
  const sorted = grouped([...sequences].sort(byLength), batchSize);
  const text = tokensOf(groups);
  const inputs: Record<Strategy, Int32Array[][]> = {
    padded: groups.map((group) => pad(group, padId)),
    sorted: sorted.map((group) => pad(group, padId)),
    packed: groups,
  };
  const strategies = Object.keys(inputs) as Strategy[];
  const batches = Object.fromEntries(
    await Promise.all(
      strategies.map(async (name) => [name, await Promise.all(inputs[name].map(batch))] as const),
    ),
  ) as Record<Strategy, PackedBatch[]>;
  const times: Record<Strategy, number[]> = { padded: [], sorted: [], packed: [] };
  // The first round warms caches and buffers up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (const name of strategies) {
      throwIfAborted(signal);
      const start = performance.now();
      await Promise.all(
        batches[name].map((packed) =>
          encoder.run(packed, {
            outputs: ['sentenceEmbedding'],
            pooling: ['mean'],
            ...(signal && { signal }),
          }),
        ),
      );
      if (round > 0) times[name].push(performance.now() - start);
    }
  }
  const cost = (name: Strategy): Cost => {
    const tokens = tokensOf(inputs[name]);
    return { tokens, fill: text / tokens, milliseconds: median(times[name]) };
  };
  return { padded: cost('padded'), sorted: cost('sorted'), packed: cost('packed') };
}
