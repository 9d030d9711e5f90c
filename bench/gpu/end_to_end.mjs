#!/usr/bin/env node
// BERT-base and MiniLM end to end on a GPU: token ids in, hidden states pooled to one row a text out, copies
// and all. One JSON line a load of plan.mjs; `overlap_ms` is the time with kernels that overlap,
// `fused_ms` that with products and norms in one kernel wherever there is one, `apart_ms` that with two.
//   node bench/gpu/end_to_end.mjs [--device cuda:0] [--dtype bf16] [--only texts,e1] [--out FILE] [--reps 20]
//                                 [--seconds N] [--plan FILE]
// --seconds: no load begins later. What fails is a line with an error, and the rest goes on. The device may be
// emulator:0 (PADLESS_ADDON=padless_emulator) or cpu, to see that a plan runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { planOf } from './plan.mjs';
import { Results } from './results.mjs';

const require = createRequire(import.meta.url);
const { Encoder, PackedBatch, device } = require('../../dist/index.js');
const { writeRandomCheckpoint } = require('../../dist/demo/random_checkpoint.js');
const { Random } = require('../../dist/demo/random.js');

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    dtype: { type: 'string', default: 'bf16' },
    only: { type: 'string' },
    out: { type: 'string' },
    reps: { type: 'string', default: '20' },
    seconds: { type: 'string' },
    plan: { type: 'string' },
  },
});
const reps = Number(values.reps);
const VOCABULARY = 30_522;

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

/** Multiplications and additions of the real tokens. */
function flops({ layers, hidden, intermediate }, lengths) {
  const pairs = sum(lengths.map((length) => length * length));
  return layers * (sum(lengths) * 2 * (4 * hidden ** 2 + 2 * hidden * intermediate) + 4 * hidden * pairs);
}

async function measure(encoder, lengths) {
  const random = new Random(1);
  const batch = PackedBatch.fromSequences(
    lengths.map((length) => Array.from({ length }, () => 1000 + random.below(29_000))),
  );
  const run = () => encoder.run(batch, { outputs: ['sentenceEmbedding'], pooling: ['mean'] });
  for (let i = 0; i < Math.min(5, reps); i++) await run();
  const times = [];
  for (let i = 0; i < reps; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return median(times);
}

/** Options of a GPU beside those of `ms`. */
const VARIANTS = {
  overlap: { overlap: true },
  fused: { normFusion: 'always' },
  apart: { normFusion: 'never' },
};

/** The same weights by each variant; loaded again after an error, which may have lost the device. */
class Encoders {
  #folder;
  #loaded = new Map();

  constructor(folder) {
    this.#folder = folder;
  }

  async get(variant) {
    if (!this.#loaded.has(variant)) {
      const target = { name: values.device, ...VARIANTS[variant] };
      this.#loaded.set(variant, await Encoder.load(this.#folder, { device: target, dtype: values.dtype }));
    }
    return this.#loaded.get(variant);
  }

  dispose() {
    for (const encoder of this.#loaded.values()) encoder.dispose();
    this.#loaded.clear();
  }
}

async function measureLoad(encoders, shape, { lengths, ...load }, results) {
  const { description, isa } = device(values.device).info;
  const run = { peer: 'padless', device: description, isa, dtype: values.dtype };
  const ms = await measure(await encoders.get('plain'), lengths);
  const line = {
    ...{ ...load, ...run, tokens: sum(lengths), ms },
    tflops: flops(shape, lengths) / ms / 1e9,
  };
  for (const variant of Object.keys(VARIANTS)) {
    try {
      line[`${variant}_ms`] = await measure(await encoders.get(variant), lengths);
    } catch (error) {
      line[`${variant}_error`] = error.message;
      encoders.dispose();
    }
  }
  results.add(line);
}

async function measureModel(model, shape, loads, results) {
  const folder = mkdtempSync(join(tmpdir(), 'padless-bench-'));
  const encoders = new Encoders(folder);
  try {
    await writeRandomCheckpoint(folder, { vocabSize: VOCABULARY, seed: 1, shape });
    for (const load of loads) {
      const fields = { ...load, lengths: undefined };
      await results.measure(fields, () =>
        measureLoad(encoders, shape, load, results).catch((error) => {
          encoders.dispose();
          throw error;
        }),
      );
    }
  } finally {
    encoders.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

const { models, endToEnd } = planOf(values.plan);
const only = values.only?.split(',');
const wanted = endToEnd.filter(({ experiment }) => !only || only.includes(experiment));
const results = new Results(values.out, values.seconds && Number(values.seconds));
for (const [model, shape] of Object.entries(models)) {
  const loads = wanted.filter((load) => load.model === model);
  if (loads.length > 0) await measureModel(model, shape, loads, results);
}
process.exitCode = results.finish();
