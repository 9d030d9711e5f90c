#!/usr/bin/env node
// The last words of scripts/verify-gpu.sh: joins what its steps left in a folder into one JSON file, and prints a
// short table.   node scripts/verify-gpu-report.mjs FOLDER OUTPUT
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, output] = process.argv.slice(2);

const text = (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '');
const lines = (name) => text(name).split('\n').filter(Boolean);

/** The values of a file with one a line; what is cut off is left out. */
function json(name) {
  return lines(name).flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

const steps = lines('steps').map((line) => {
  const [name, outcome, seconds, detail] = line.split('\t');
  return { name, outcome, seconds: Number(seconds), detail };
});
const [name, driver, clock, power] = (lines('gpu')[0] ?? '').split(', ');
const rivals = json('rivals.jsonl');
const endToEnd = json('padless.jsonl');
const report = {
  kind: 'gpu',
  started: new Date().toISOString(),
  commit: commit(),
  gpu: { name, driver, clock, power },
  steps,
  kernels: json('kernels.jsonl'),
  endToEnd,
  rivals,
};
writeFileSync(output, `${JSON.stringify(report, null, 1)}\n`);

const pad = (value, width) => String(value).padEnd(width);
console.log(`\n${name ?? 'unknown GPU'}, driver ${driver ?? 'unknown'}`);
for (const step of steps)
  console.log(`${pad(step.outcome, 8)}${pad(step.name, 28)}${pad(`${step.seconds} s`, 8)}${step.detail}`);
const sameLoad = (line) => (other) =>
  other.section === 'bert' && ['model', 'batch', 'cap', 'kind'].every((key) => other[key] === line[key]);
for (const line of report.endToEnd) {
  const rival = report.rivals.find(sameLoad(line));
  const times = Object.entries(rival ?? {}).filter(([key]) => key.endsWith('_ms'));
  const best = times.sort(([, a], [, b]) => a - b)[0];
  const against = best ? `best of PyTorch ${best[1].toFixed(2)} ms (${best[0].slice(0, -3)})` : 'no rival';
  console.log(
    `${pad(line.model, 8)}${pad(`${line.batch} x ${line.cap} ${line.kind}`, 28)}${pad(`${line.ms.toFixed(2)} ms`, 12)}${against}`,
  );
}
console.log(`written to ${output}`);
