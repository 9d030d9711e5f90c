#!/usr/bin/env node
// padless as a contestant of the CPU benchmark: one JSON request a line on stdin, one JSON answer on stdout.
//   node bench/cpu/worker.mjs --peer padless-f32 --model DIR --serve
// Modes do not matter to it: there is nothing to pad, a workload is one packed batch.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const started = performance.now();
const { values: options } = parseArgs({
  options: { peer: { type: 'string' }, model: { type: 'string' }, serve: { type: 'boolean' } },
});
const { Encoder, PackedBatch } = await import(new URL('../../dist/index.mjs', import.meta.url));
const imported = performance.now();
const threads = Number(process.env.THREADS ?? 2);
const encoder = await Encoder.load(options.model, { dtype: options.peer.split('-')[1], threads });
const loaded = performance.now();

const status = (key) =>
  Math.round(
    Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024,
  );
const base = {
  peer: options.peer,
  model: basename(options.model),
  threads,
  import_s: (imported - started) / 1e3,
  load_s: (loaded - imported) / 1e3,
  rss_loaded_mb: status('VmRSS'),
};

const workloads = new Map();
function workload(path) {
  if (!workloads.has(path)) {
    const data = JSON.parse(readFileSync(path, 'utf8'));
    workloads.set(path, { ...data, batch: PackedBatch.fromSequences(data.seqs) });
  }
  return workloads.get(path);
}

async function embed({ batch }) {
  const { sentenceEmbedding } = await encoder.run(batch, {
    outputs: ['sentenceEmbedding'],
    pooling: ['mean'],
  });
  const width = encoder.spec.hiddenSize;
  return Array.from({ length: batch.sequences }, (_, i) =>
    Array.from(sentenceEmbedding.subarray(i * width, (i + 1) * width)),
  );
}

async function measure({ name, batch, real_tokens }, mode, reps, warmup) {
  const once = () => encoder.run(batch, { outputs: ['lastHiddenState'] });
  for (let i = 0; i < warmup; i++) await once();
  const times = [];
  for (let i = 0; i < reps; i++) {
    const start = performance.now();
    await once();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const ms = (times[(reps - 1) >> 1] + times[reps >> 1]) / 2;
  return {
    ...base,
    workload: name,
    mode,
    ms,
    ms_min: times[0],
    ms_max: times[reps - 1],
    reps,
    real_tokens,
    tokens_per_s: (real_tokens / ms) * 1e3,
    peak_rss_mb: status('VmHWM'),
  };
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ ...base, ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.op === 'quit') break;
  const data = workload(request.workload);
  say(
    request.op === 'embed'
      ? { embed: await embed(data) }
      : await measure(data, request.mode, request.reps ?? 5, request.warmup ?? 1),
  );
}
encoder.dispose();
