#!/usr/bin/env node
// Writes cuda/attention/measured_plans.h, the plan that `auto` attention takes on each kind of GPU, from what
// scripts/verify-gpu.sh has left in bench/results: the plan whose times over the loads of e3 and e4 at head dim 64,
// sequences in the order given, have the least geometric mean.
//   node scripts/attention-plans.mjs [--check]      --check: fail if the file is not what would be written
//   node scripts/attention-plans.mjs --results DIR --output FILE
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fastestPlan } from '../bench/gpu/view.mjs';

const root = new URL('..', import.meta.url).pathname;
const target = join(root, 'cuda/attention/measured_plans.h');

/** Results of GPUs, the newest first. */
function files(folder) {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^gpu-.*\.json$/.test(name)) : [];
  return names
    .map((name) => ({ name, data: JSON.parse(readFileSync(join(folder, name), 'utf8')) }))
    .sort((a, b) => (a.data.started < b.data.started ? 1 : -1));
}

/** The newest result of each kind of GPU that says which plan is the fastest. */
function rows(folder) {
  const newest = new Map();
  for (const { name, data } of files(folder)) {
    const found = fastestPlan(data);
    const key = found && `${found.device.compute_capability} ${found.device.sms}`;
    if (found && !newest.has(key)) newest.set(key, { ...found, name });
  }
  return [...newest.values()].sort(
    ({ device: a }, { device: b }) => a.compute_capability - b.compute_capability || a.sms - b.sms,
  );
}

const STRATEGIES = { single: 'kSingle', grouped: 'kGrouped', persistent: 'kPersistent' };

function row({ device, plan: { strategy, edges, streams }, name }) {
  const plan = `{AttentionStrategy::${STRATEGIES[strategy]}, {${edges.join(', ')}}, ${streams}}`;
  return `    // ${device.device}: ${name}\n    {${device.compute_capability}, ${device.sms}, ${plan}},\n`;
}

function header(list) {
  const body = list.length > 0 ? `{\n${list.map(row).join('')}}` : '{}';
  return `// Written by scripts/attention-plans.mjs from the files in bench/results.
#pragma once

#include <initializer_list>

#include "cuda/attention/auto_plan.h"

namespace padless::cuda {

inline constexpr std::initializer_list<MeasuredPlan> kMeasuredPlans = ${body};

}  // namespace padless::cuda
`;
}

const { values } = parseArgs({
  options: { check: { type: 'boolean' }, results: { type: 'string' }, output: { type: 'string' } },
});
const written = header(rows(values.results ?? join(root, 'bench/results')));
if (!values.check) writeFileSync(values.output ?? target, written);
else if (readFileSync(values.output ?? target, 'utf8') !== written) {
  console.error('cuda/attention/measured_plans.h is out of date; run node scripts/attention-plans.mjs');
  process.exitCode = 1;
}
