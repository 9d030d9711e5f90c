// What every contestant speaks: one JSON request a line on stdin, one JSON answer a line on stdout.
//   {"workload": FILE, "mode": M, "reps": N, "warmup": N}  ->  {"ms": median, ..., "tokens_per_s": ...}
//   {"op": "embed", "workload": FILE, "mode": M}            ->  {"embed": [[mean of a sequence's rows], ...]}
//   {"op": "quit"}
// The first line on stdout says that the model is loaded: {"ready": true, "load_s": ..., ...}.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { statusMiB } from './process_memory.mjs';
import { median } from './statistics.mjs';

export const THREADS = Number(process.env.THREADS ?? 2);

/** `--peer NAME --model DIR --serve`. */
export function contestantOptions() {
  const { values } = parseArgs({
    options: { peer: { type: 'string' }, model: { type: 'string' }, serve: { type: 'boolean' } },
  });
  return values;
}

/** Seconds since `start`, a time of performance.now(). */
export const secondsSince = (start) => (performance.now() - start) / 1e3;

/**
 * Answers requests until "quit" or the end of the input.
 *
 * `prepare(sequences, mode)` gives what one run needs, once a workload and mode; `run(prepared)` computes the last
 * hidden states of all sequences; `embed(prepared)` their means, one array a sequence.
 */
export async function serve(facts, { prepare, run, embed }) {
  const base = { ...facts, threads: THREADS, rss_loaded_mb: Math.round(statusMiB('VmRSS')) };
  const workloads = new Map();
  const prepared = new Map();
  const workload = (path) => {
    if (!workloads.has(path)) workloads.set(path, JSON.parse(readFileSync(path, 'utf8')));
    return workloads.get(path);
  };
  const input = (path, mode) => {
    const key = `${mode} ${path}`;
    if (!prepared.has(key)) prepared.set(key, prepare(workload(path).seqs, mode));
    return prepared.get(key);
  };
  const measure = async ({ workload: path, mode, reps = 5, warmup = 1 }) => {
    const ready = input(path, mode);
    for (let i = 0; i < warmup; i++) await run(ready);
    const times = [];
    for (let i = 0; i < reps; i++) {
      const start = performance.now();
      await run(ready);
      times.push(performance.now() - start);
    }
    const { name, real_tokens } = workload(path);
    const ms = median(times);
    return {
      ...base,
      workload: name,
      mode,
      ms,
      ms_min: Math.min(...times),
      ms_max: Math.max(...times),
      reps,
      real_tokens,
      tokens_per_s: (real_tokens / ms) * 1e3,
      peak_rss_mb: Math.round(statusMiB('VmHWM')),
    };
  };
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  say({ ...base, ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.op === 'quit') return;
    say(
      request.op === 'embed'
        ? { embed: await embed(input(request.workload, request.mode)) }
        : await measure(request),
    );
  }
}
