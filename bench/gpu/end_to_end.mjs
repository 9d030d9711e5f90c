#!/usr/bin/env node
// BERT-base and MiniLM end to end on a GPU: token ids in, hidden states pooled to one row a text out, copies
// and all. One JSON line a load of plan.mjs; `overlap_ms` is the time with kernels that overlap,
// `fused_ms` that with products and norms in one kernel wherever there is one, `apart_ms` that with two.
//   node bench/gpu/end_to_end.mjs [--device cuda:0] [--dtype bf16] [--only e1,texts] [--out FILE] [--reps 20]
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endToEndLoads } from './plan.mjs';

const require = createRequire(import.meta.url);
const { Encoder, PackedBatch } = require('../../dist/index.js');
const { BERT_BASE, MINILM, writeRandomCheckpoint } = require('../../dist/demo/random_checkpoint.js');
const { Random } = require('../../dist/demo/random.js');

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    dtype: { type: 'string', default: 'bf16' },
    only: { type: 'string' },
    out: { type: 'string' },
    reps: { type: 'string', default: '20' },
  },
});
const reps = Number(values.reps);
const shapes = { base: { ...BERT_BASE, positions: 1024 }, minilm: MINILM };
const vocabSize = 30522;
const only = values.only?.split(',');
const loads = endToEndLoads().filter(({ experiment }) => !only || only.includes(experiment));

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Multiplications and additions of the real tokens. */
function flops({ layers, hidden, intermediate }, lengths) {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const pairs = lengths.reduce((sum, length) => sum + length * length, 0);
  return layers * (tokens * 2 * (4 * hidden ** 2 + 2 * hidden * intermediate) + 4 * hidden * pairs);
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

for (const [model, shape] of Object.entries(shapes)) {
  const ofModel = loads.filter((each) => each.model === model);
  if (ofModel.length === 0) continue;
  const folder = mkdtempSync(join(tmpdir(), 'padless-bench-'));
  try {
    await writeRandomCheckpoint(folder, { vocabSize, seed: 1, shape });
    const load = (options) =>
      Encoder.load(folder, { device: { name: values.device, ...options }, dtype: values.dtype });
    const encoder = await load({});
    const variants = {
      overlap_ms: await load({ overlap: true }),
      fused_ms: await load({ normFusion: 'always' }),
      apart_ms: await load({ normFusion: 'never' }),
    };
    const { description, isa } = encoder.device.info;
    for (const { lengths, ...load } of ofModel) {
      const ms = await measure(encoder, lengths);
      const others = {};
      for (const [name, variant] of Object.entries(variants)) others[name] = await measure(variant, lengths);
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      const tflops = flops(shape, lengths) / ms / 1e9;
      const run = { peer: 'padless', device: description, isa, dtype: values.dtype };
      const line = JSON.stringify({ ...load, ...run, tokens, ms, ...others, tflops });
      console.log(line);
      if (values.out) appendFileSync(values.out, `${line}\n`);
    }
    encoder.dispose();
    for (const variant of Object.values(variants)) variant.dispose();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
