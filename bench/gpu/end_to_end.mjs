#!/usr/bin/env node
// BERT-base and MiniLM end to end on a GPU: token ids in, hidden states pooled to one row a text out, copies
// and all. One JSON line a load of plan.mjs. `queued_ms` is the mean of passes that wait behind each other, so that the
// host's part of one hides behind the device's part of another: an upper bound of what a pass takes on the device.
// `overlap_ms` is the time with kernels that overlap (`overlap_queued_ms` likewise), `fused_ms` that with products and
// norms in one kernel wherever there is one, `apart_ms` that with two, `batch_ms` that with determinism 'batch', and
// `fp8_ms` that in fp8, where the device has it.
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

/** Milliseconds of a pass: {ms, queued_ms}. */
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
  const start = performance.now();
  await Promise.all(Array.from({ length: reps }, run));
  return { ms: median(times), queued_ms: (performance.now() - start) / reps };
}

/** What a model is loaded with beside what `ms` has: options of the device, and a dtype. */
const VARIANTS = {
  overlap: { device: { overlap: true }, queued: true },
  fused: { device: { normFusion: 'always' } },
  apart: { device: { normFusion: 'never' } },
  batch: { device: { determinism: 'batch' } },
  fp8: { dtype: 'fp8' },
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
      const { device: options, dtype = values.dtype } = VARIANTS[variant] ?? {};
      const target = { name: values.device, ...options };
      this.#loaded.set(variant, await Encoder.load(this.#folder, { device: target, dtype }));
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
  const plain = await measure(await encoders.get('plain'), lengths);
  const line = {
    ...{ ...load, ...run, tokens: sum(lengths), ...plain },
    tflops: flops(shape, lengths) / plain.ms / 1e9,
  };
  for (const [variant, { queued }] of Object.entries(VARIANTS)) {
    try {
      const { ms, queued_ms } = await measure(await encoders.get(variant), lengths);
      Object.assign(line, { [`${variant}_ms`]: ms, ...(queued && { [`${variant}_queued_ms`]: queued_ms }) });
    } catch (error) {
      if (error.code === 'E_UNSUPPORTED') continue; // this device has no fp8
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
