#!/usr/bin/env node
// The microbenchmarks of plan.mjs, by kernel_bench: one JSON line a measurement, marked with its experiment.
//   node bench/gpu/kernels.mjs --out FILE [--only gemm,e3,...] [--seconds N] [--program FILE] [--plan FILE]
// --seconds: no run begins later. --program: a kernel_bench that is built already. A run that fails is a line with an
// error, and the others go on.
// Exit codes as of `npm run bench:cuda`: 0 measured, 1 an error, 2 wrong arguments, 3 no usable GPU, 4 no program.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, measure } from '../../scripts/bench-cuda.mjs';
import { run } from '../../scripts/cuda-build.mjs';
import { planOf } from './plan.mjs';
import { Results } from './results.mjs';

const EXPERIMENTS = ['gemm', 'rows', 'e3', 'e4', 'norm', 'e2'];
const NO_RUN_WILL_DO = [2, 3]; // of kernel_bench: wrong arguments, no usable GPU

const uniform = (ratio, longest, batch) =>
  Object.entries({ lengths: 'uniform', ratio, 'max-length': longest, batch }).flatMap(([name, value]) => [
    `--${name}`,
    `${value}`,
  ]);

/** Runs of kernel_bench, the most telling first: the experiment, what its lines are marked with, arguments, lengths. */
function runs({ products, attention, ladderCaps }) {
  const list = [];
  for (const tokens of [...products.tokens].reverse()) {
    for (const shape of products.shapes) {
      for (const [experiment, op] of [
        ['gemm', 'linear'],
        ['norm', 'linear_norm'],
      ]) {
        const args = ['--op', op, '--shape', shape, ...uniform(1, 64, tokens / 64)];
        list.push({ experiment, mark: { tokens }, args });
      }
    }
  }
  for (const { experiment, lengths, ...mark } of attention) {
    const { heads, headDim, cap } = mark;
    const width = heads * headDim;
    const shape = `${width}x${heads}x${4 * width}`;
    const args = ['--op', 'attention', '--shape', shape, '--max-length', `${cap}`];
    const tokens = lengths.reduce((total, length) => total + length, 0);
    list.push({ experiment, mark: { ...mark, tokens }, args, lengths });
  }
  const rows = 'residual_norm,embed_norm,gather_rows,head_norm,rope,pool_rows,disentangled';
  list.push({
    experiment: 'rows',
    mark: { tokens: 16_384 },
    args: ['--op', rows, '--shape', 'base', ...uniform(1, 256, 64)],
  });
  for (const cap of ladderCaps) {
    const args = ['--op', 'ladder', '--shape', 'base', ...uniform(0.6, cap, 16)];
    list.push({ experiment: 'e2', mark: { cap }, args });
  }
  const order = ({ experiment }) => EXPERIMENTS.indexOf(experiment);
  return list.sort((a, b) => order(a) - order(b));
}

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    only: { type: 'string' },
    seconds: { type: 'string' },
    program: { type: 'string' },
    plan: { type: 'string' },
  },
});

/** The exit code of kernel_bench; its lines, marked, are added to the results. */
function runOne(results, folder, index, { experiment, mark, args, lengths }) {
  const [json, list] = [join(folder, `${index}.jsonl`), join(folder, `${index}.txt`)];
  if (lengths) writeFileSync(list, `${lengths.join('\n')}\n`);
  const all = [...args, ...(lengths ? ['--lengths', list] : []), '--json', json];
  const status = values.program ? run(values.program, all) : measure(all);
  const lines = existsSync(json) ? readFileSync(json, 'utf8').split('\n').filter(Boolean) : [];
  for (const line of lines) results.add({ experiment, ...JSON.parse(line), ...mark });
  return status;
}

async function main() {
  const only = values.only?.split(',') ?? EXPERIMENTS;
  const unknown = only.find((name) => !EXPERIMENTS.includes(name));
  if (!values.out || unknown !== undefined) {
    const fault = values.out
      ? `--only has no '${unknown}'; there are: ${EXPERIMENTS.join(', ')}`
      : '--out is missing';
    console.error(`bench/gpu/kernels: ${fault}`);
    return 2;
  }
  const built = values.program ? 0 : build();
  if (built !== 0) return built;
  const results = new Results(values.out, values.seconds && Number(values.seconds));
  const folder = mkdtempSync(join(tmpdir(), 'padless-kernels-'));
  let ended = 0;
  try {
    for (const [index, each] of runs(planOf(values.plan)).entries()) {
      if (ended !== 0) break;
      if (!only.includes(each.experiment)) continue;
      await results.measure({ experiment: each.experiment, ...each.mark }, () => {
        const status = runOne(results, folder, index, each);
        if (NO_RUN_WILL_DO.includes(status)) ended = status;
        else if (status !== 0) throw new Error(`kernel_bench ${each.args.join(' ')}: exit code ${status}`);
      });
    }
    return results.finish() || ended;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
