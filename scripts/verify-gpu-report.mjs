#!/usr/bin/env node
// The last words of scripts/verify-gpu.sh: joins what its steps left in a folder into one JSON file, and prints a
// short table.   node scripts/verify-gpu-report.mjs FOLDER OUTPUT
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bars, verdict } from '../bench/gpu/bars.mjs';
import { endToEnd, failures, fastestPlan, loadName, misplanned } from '../bench/gpu/view.mjs';

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
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}

const steps = lines('steps').map((line) => {
  const [name, outcome, seconds, detail] = line.split('\t');
  return { name, outcome, seconds: Number(seconds), detail };
});
const [name, driver, clock, power] = (lines('gpu')[0] ?? '').split(', ');
const report = {
  kind: 'gpu',
  started: new Date().toISOString(),
  commit: commit(),
  gpu: { name, driver, clock, power },
  steps,
  kernels: json('kernels.jsonl'),
  endToEnd: json('padless.jsonl'),
  rivals: json('rivals.jsonl'),
};
writeFileSync(output, `${JSON.stringify(report, null, 1)}\n`);

const pad = (value, width) => String(value).padEnd(width);
console.log(`\n${name ?? 'unknown GPU'}, driver ${driver ?? 'unknown'}`);
for (const step of steps)
  console.log(`${pad(step.outcome, 8)}${pad(step.name, 28)}${pad(`${step.seconds} s`, 8)}${step.detail}`);
for (const { line, rival, ratio } of endToEnd(report).filter(({ line }) => line.experiment === 'texts')) {
  const against = rival
    ? `${ratio.toFixed(2)}x the best of PyTorch, ${rival.value.toFixed(2)} ms (${rival.name})`
    : 'no rival';
  console.log(
    `${pad(line.model, 8)}${pad(loadName(line), 28)}${pad(`${line.ms.toFixed(2)} ms`, 12)}${against}`,
  );
}
console.log('bars, for an H100 SXM:');
for (const bar of bars(report)) {
  const got = bar.got === undefined ? '' : `${bar.got}${bar.detail ? ` (${bar.detail})` : ''}`;
  console.log(
    `${pad(verdict(bar), 14)}${pad(`${bar.kernels}: ${bar.name}`, 66)}${pad(bar.wanted, 15)}${got}`,
  );
}
const plan = fastestPlan(report);
if (plan) {
  const { strategy, edges, streams } = plan.plan;
  const groups = strategy === 'grouped' ? ` by ${edges.join(', ')} on ${streams} streams` : '';
  console.log(
    `attention: ${strategy}${groups} is the fastest, ${plan.ratio.toFixed(2)}x the plan of today; ` +
      'node scripts/attention-plans.mjs makes it what auto does',
  );
}
const wrong = misplanned(report);
for (const { line, best, ratio } of wrong.slice(0, 5))
  console.log(`planner: ${line.shape} ${line.name} takes ${ratio.toFixed(2)}x the time of ${best.name}`);
if (wrong.length > 5) console.log(`planner: and ${wrong.length - 5} products less wrong`);
const failed = failures(report);
if (failed.length > 0) {
  console.log(`${failed.length} measurements failed, the first: ${JSON.stringify(failed[0])}`);
}
console.log(`written to ${output}`);
