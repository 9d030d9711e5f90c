#!/usr/bin/env node
// padless as a contestant of the CPU benchmark.   node bench/cpu/worker.mjs --peer padless-f32 --model DIR --serve
// Modes do not matter to it: there is nothing to pad, a workload is one packed batch.
import { basename } from 'node:path';
import { THREADS, contestantOptions, secondsSince, serve } from './protocol.mjs';

const started = performance.now();
const { peer, model } = contestantOptions();
const { Encoder, PackedBatch, device } = await import(new URL('../../dist/index.mjs', import.meta.url));
const import_s = secondsSince(started);
const loading = performance.now();
const cpu = device({ name: 'cpu', threads: THREADS, isa: process.env.ISA ?? 'auto' });
const encoder = await Encoder.load(model, { dtype: peer.split('-')[1], device: cpu });
const load_s = secondsSince(loading);

async function embed(batch) {
  const { sentenceEmbedding } = await encoder.run(batch, {
    outputs: ['sentenceEmbedding'],
    pooling: ['mean'],
  });
  const width = encoder.spec.hiddenSize;
  return Array.from({ length: batch.sequences }, (_, i) =>
    Array.from(sentenceEmbedding.subarray(i * width, (i + 1) * width)),
  );
}

await serve(
  { peer, model: basename(model), import_s, load_s, isa: encoder.device.info.isa },
  {
    prepare: (sequences) => PackedBatch.fromSequences(sequences),
    run: (batch) => encoder.run(batch, { outputs: ['lastHiddenState'] }),
    embed,
  },
);
encoder.dispose();
