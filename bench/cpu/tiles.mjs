#!/usr/bin/env node
// What products on tile registers reach of their roof, as one thing after another is added to a loop of them.
//   npm run bench:tiles -- [--threads N] [--output FILE]    writes bench/results/tiles-<commit>.json
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildProgram } from './native.mjs';
import { runQuietly } from './processes.mjs';
import { commit, machine, root } from './results.mjs';

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: String(availableParallelism()) },
    output: { type: 'string' },
  },
});
const started = new Date().toISOString();
const { status, output, errors } = await runQuietly(await buildProgram('tile_bench'), [values.threads]);
if (status !== 0) throw new Error(`tile_bench: ${errors.trim()}`);
const measured = JSON.parse(output);
if (!measured.isa) {
  console.error('This processor has no tiles (AMX), or the system does not let them be used.');
  process.exit(1);
}
const facts = commit();
const path =
  values.output ?? join(root, 'bench/results', `tiles-${(facts.commit ?? 'unknown').slice(0, 7)}.json`);
mkdirSync(dirname(path), { recursive: true });
writeFileSync(
  path,
  `${JSON.stringify({ kind: 'tiles', ...facts, started, machine: machine(), ...measured }, null, 1)}\n`,
);
for (const kind of ['bf16', 'int8']) {
  for (const { name, fractionOfRoof } of measured[kind].loops) {
    console.log(`${kind}  ${name.padEnd(28)} ${(fractionOfRoof * 100).toFixed(0)}% of the roof`);
  }
}
console.log(path);
