#!/usr/bin/env node
// The microbenchmarks of plan.mjs, by kernel_bench: one JSON line a measurement, marked with its experiment.
//   node bench/gpu/kernels.mjs --out FILE [--only e2,e3,e4,gemm,norm,rows]
// Exit codes as of `npm run bench:cuda`: 0 measured, 1 an error, 2 wrong arguments, 3 no usable GPU, 4 no program.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, measure } from '../../scripts/bench-cuda.mjs';
import { attentionLoads, ladderCaps, products } from './plan.mjs';

/** Runs of kernel_bench: the experiment, what its lines are marked with, arguments, and lengths of a file. */
export function runs() {
  const list = [];
  for (const shape of products.shapes) {
    for (const tokens of products.tokens) {
      const even = [
        '--lengths',
        'uniform',
        '--ratio',
        '1',
        '--max-length',
        '64',
        '--batch',
        `${tokens / 64}`,
      ];
      list.push({
        experiment: 'gemm',
        mark: { tokens },
        args: ['--op', 'linear', '--shape', shape, ...even],
      });
      list.push({
        experiment: 'norm',
        mark: { tokens },
        args: ['--op', 'linear_norm', '--shape', shape, ...even],
      });
    }
  }
  for (const cap of ladderCaps) {
    const uneven = ['--lengths', 'uniform', '--ratio', '0.6', '--max-length', `${cap}`, '--batch', '16'];
    list.push({ experiment: 'e2', mark: { cap }, args: ['--op', 'ladder', '--shape', 'base', ...uneven] });
  }
  for (const { experiment, lengths, ...mark } of attentionLoads()) {
    const { heads, headDim, cap } = mark;
    const width = heads * headDim;
    const shape = `${width}x${heads}x${4 * width}`;
    const args = ['--op', 'attention', '--shape', shape, '--max-length', `${cap}`];
    list.push({ experiment, mark, args, lengths });
  }
  const rows = 'residual_norm,embed_norm,gather_rows,head_norm,rope,pool_rows,disentangled';
  const full = ['--lengths', 'uniform', '--ratio', '1', '--max-length', '256', '--batch', '64'];
  list.push({
    experiment: 'rows',
    mark: { tokens: 16_384 },
    args: ['--op', rows, '--shape', 'base', ...full],
  });
  return list;
}

function main() {
  const { values } = parseArgs({ options: { out: { type: 'string' }, only: { type: 'string' } } });
  const known = [...new Set(runs().map(({ experiment }) => experiment))];
  const only = values.only?.split(',') ?? known;
  const unknown = only.find((name) => !known.includes(name));
  if (!values.out || unknown !== undefined) {
    const fault = values.out
      ? `--only has no '${unknown}'; there are: ${known.join(', ')}`
      : '--out is missing';
    console.error(`bench/gpu/kernels: ${fault}`);
    return 2;
  }
  const built = build();
  if (built !== 0) return built;
  const folder = mkdtempSync(join(tmpdir(), 'padless-kernels-'));
  try {
    for (const [i, { experiment, mark, args, lengths }] of runs().entries()) {
      if (!only.includes(experiment)) continue;
      const [json, list] = [join(folder, `${i}.jsonl`), join(folder, `${i}.txt`)];
      if (lengths) writeFileSync(list, `${lengths.join('\n')}\n`);
      const status = measure([...args, ...(lengths ? ['--lengths', list] : []), '--json', json]);
      if (status !== 0) return status;
      if (!existsSync(json)) continue;
      for (const line of readFileSync(json, 'utf8').split('\n').filter(Boolean)) {
        appendFileSync(values.out, `${JSON.stringify({ experiment, ...JSON.parse(line), ...mark })}\n`);
      }
    }
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = main();
