import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare } from '../demo/comparison';
import { MINILM, writeRandomCheckpoint } from '../demo/random_checkpoint';
import { Random } from '../demo/random';
import { Encoder } from '../encoder';
import { comparisonTable } from './comparison_table';
import { computeOptions, type ComputeFlags } from './compute_flags';

interface BenchFlags extends ComputeFlags {
  model?: string;
  sequences: number;
  batchSize: number;
  rounds: number;
  lengths: Workload;
  json?: boolean;
}

type Workload = 'passages' | 'queries' | 'paragraphs' | 'uniform';

/** Log-normal token counts: MS MARCO passages and queries, paragraphs of Wikipedia. */
const WORKLOADS: Record<Exclude<Workload, 'uniform'>, { median: number; sigma: number }> = {
  passages: { median: 71, sigma: 0.4 },
  queries: { median: 8.5, sigma: 0.33 },
  paragraphs: { median: 150, sigma: 0.65 },
};

const SEED = 1;
const VOCABULARY = 2000;
const LONGEST = 512;

/** `padless bench`: the same sequences padded and packed through the same engine, on this machine. */
export async function bench(flags: BenchFlags, signal: AbortSignal): Promise<void> {
  const model = flags.model ?? (await mkdtemp(join(tmpdir(), 'padless-bench-')));
  try {
    if (flags.model === undefined)
      await writeRandomCheckpoint(model, { vocabSize: VOCABULARY, seed: SEED, signal });
    await using encoder = await Encoder.load(model, { ...computeOptions(flags), signal });
    const { spec } = encoder;
    const sequences = workload(
      flags.lengths,
      flags.sequences,
      spec.vocabSize,
      Math.min(LONGEST, encoder.maxLength),
    );
    const { batchSize, rounds } = flags;
    const comparison = await compare(encoder, sequences, {
      batchSize,
      rounds,
      padId: spec.positions.padId ?? 0,
      signal,
    });
    const { name, isa, threads } = encoder.device.info;
    if (flags.json) {
      process.stdout.write(
        `${JSON.stringify({ device: { name, isa, threads }, flags, comparison }, null, 2)}\n`,
      );
      return;
    }
    const shape =
      flags.model ?? `random weights in MiniLM's shape (${MINILM.layers} layers, hidden ${MINILM.hidden})`;
    process.stdout.write(
      `${shape}; ${name} ${isa}, ${threads} threads; ${flags.sequences} ${flags.lengths}, ${rounds} rounds\n`,
    );
    process.stdout.write(comparisonTable(comparison, batchSize));
  } finally {
    if (flags.model === undefined) await rm(model, { recursive: true, force: true });
  }
}

function workload(kind: Workload, count: number, vocabSize: number, longest: number): Int32Array[] {
  const random = new Random(SEED);
  const length = () => {
    if (kind === 'uniform') return longest;
    const { median, sigma } = WORKLOADS[kind];
    return Math.min(longest, Math.max(1, Math.round(median * Math.exp(sigma * random.normal()))));
  };
  return Array.from({ length: count }, () =>
    Int32Array.from({ length: length() }, () => random.below(vocabSize)),
  );
}
