#!/usr/bin/env node
// BERT-base and MiniLM end to end on a GPU: token ids in, hidden states pooled to one row a text out, copies
// and all. One JSON line a load.
//   node bench/gpu/end_to_end.mjs [--device cuda:0] [--dtype bf16] [--loads FILE] [--out FILE] [--reps 20]
// FILE of --loads: the lines of rivals/torch_baselines.py, whose lengths are then taken.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { Encoder, PackedBatch } = require('../../dist/index.js');
const { BERT_BASE, MINILM, writeRandomCheckpoint } = require('../../dist/demo/random_checkpoint.js');
const { Random } = require('../../dist/demo/random.js');

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    dtype: { type: 'string', default: 'bf16' },
    loads: { type: 'string' },
    out: { type: 'string' },
    reps: { type: 'string', default: '20' },
  },
});
const reps = Number(values.reps);
const shapes = { base: BERT_BASE, minilm: MINILM };
const vocabSize = 30522;

/** Loads without a rival's file: batch, longest, share of the longest that the lengths average. */
const ownLoads = [
  [1, 32, 1],
  [8, 64, 1],
  [64, 256, 1],
  [16, 128, 0.6],
  [16, 512, 0.6],
  [16, 512, 1],
];

function loads() {
  if (values.loads) {
    return readFileSync(values.loads, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .filter(({ section, lengths }) => section === 'bert' && lengths);
  }
  const random = new Random(2);
  const draw = (cap, share) => {
    const least = Math.max(1, Math.floor((2 * share - 1) * cap));
    return least + random.below(cap - least + 1);
  };
  return Object.keys(shapes).flatMap((model) =>
    ownLoads.map(([batch, cap, share]) => ({
      model,
      batch,
      cap,
      kind: share === 1 ? 'full' : `uniform${share}`,
      lengths: Array.from({ length: batch }, () => draw(cap, share)),
    })),
  );
}

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
  for (let i = 0; i < 5; i++) await run();
  const times = [];
  for (let i = 0; i < reps; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return median(times);
}

for (const [model, shape] of Object.entries(shapes)) {
  const folder = mkdtempSync(join(tmpdir(), 'padless-bench-'));
  try {
    await writeRandomCheckpoint(folder, { vocabSize, seed: 1, shape });
    const encoder = await Encoder.load(folder, { device: values.device, dtype: values.dtype });
    const { description, isa } = encoder.device.info;
    for (const load of loads().filter((each) => each.model === model)) {
      const { batch, cap, kind, lengths } = load;
      const ms = await measure(encoder, lengths);
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      const line = {
        section: 'bert',
        peer: 'padless',
        device: description,
        isa,
        dtype: values.dtype,
        ...{ model, batch, cap, kind, tokens, ms },
        tflops: flops(shape, lengths) / ms / 1e9,
      };
      console.log(JSON.stringify(line));
      if (values.out) appendFileSync(values.out, `${JSON.stringify(line)}\n`);
    }
    encoder.dispose();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
