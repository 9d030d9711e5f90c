#!/usr/bin/env node
// A process of its own that loads a model and runs one query: prints what that took.
//   node memory_probe.mjs DIR DTYPE THREADS ISA
import { statusMiB } from './process_memory.mjs';

const [model, dtype, threads, isa] = process.argv.slice(2);
const { Encoder, PackedBatch, device } = await import(new URL('../../dist/index.mjs', import.meta.url));
const importedMiB = statusMiB('VmRSS');
const start = performance.now();
const encoder = await Encoder.load(model, {
  dtype,
  device: device({ name: 'cpu', threads: Number(threads), isa }),
});
const loadMs = performance.now() - start;
const loadedMiB = statusMiB('VmRSS');
const query = Array.from({ length: 16 }, (_, i) => 1000 + i);
await encoder.run(PackedBatch.fromSequences([query]), { outputs: ['sentenceEmbedding'], pooling: ['mean'] });
const firstResultMs = performance.now() - start;
const answer = {
  importedMiB,
  loadedMiB,
  peakMiB: statusMiB('VmHWM'),
  weightsMiB: encoder.weightBytes / 2 ** 20,
  loadMs,
  firstResultMs,
};
process.stdout.write(`${JSON.stringify(answer)}\n`);
