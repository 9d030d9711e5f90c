#!/usr/bin/env node
// Writes the table of docs/kernels.md that has BERT-base's kernels at 16,384 tokens beside their floors: arithmetic,
// and times of the newest file that scripts/verify-gpu.sh has left in bench/results.
//   node scripts/kernels-doc.mjs [--check]      --check: fail if the table is not what would be written
//   node scripts/kernels-doc.mjs --results DIR --output FILE
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attention, kernels } from '../bench/gpu/view.mjs';
import { table } from './markdown.mjs';

const root = new URL('..', import.meta.url).pathname;
const [BEGIN, END] = ['<!-- layer: written by scripts/kernels-doc.mjs -->', '<!-- end of layer -->'];

/** An H100 SXM's published rates of dense bf16 and of its memory. */
const [FLOPS, BYTES] = [989e12, 3.35e12];
const [batch, length, hidden, inner, layers] = [64, 256, 768, 3072, 12];
const tokens = batch * length;
const cells = tokens * hidden;

/** n outputs of k inputs, and `moved` columns of residual and result. */
const product = (op, name, [n, k, moved], start, counts) => ({
  name: `\`${op}\` ${name}`,
  flops: 2 * tokens * n * k,
  bytes: 2 * (tokens * k + n * k + tokens * moved),
  find: op === 'linear' ? ['gemm', op, start] : ['norm', op, start, 'one'],
  ...counts,
});

/** How often a layer has a kernel whose norms are kernels of their own, and one whose norms are in the products. */
const [BOTH, APART, JOINED] = [
  { two: 1, one: 1 },
  { two: 1, one: 0 },
  { two: 0, one: 1 },
];
const [output, down] = [
  [hidden, hidden, 2 * hidden],
  [hidden, inner, 2 * hidden],
];

const KERNELS = [
  product('linear', 'QKV + bias', [3 * hidden, hidden, 3 * hidden], 'qkv ', BOTH),
  { name: '`varlen_attention`', flops: 4 * cells * length, bytes: 8 * cells, find: ['e3'], ...BOTH },
  product('linear', 'output + bias + residual', output, 'out ', APART),
  product('linear_norm', 'output + bias + residual + norm', output, 'out ', JOINED),
  product('linear', 'FFN1 + bias + GELU', [inner, hidden, inner], 'ffn1 ', BOTH),
  product('linear', 'FFN2 + bias + residual', down, 'ffn2 ', APART),
  product('linear_norm', 'FFN2 + bias + residual + norm', down, 'ffn2 ', JOINED),
  {
    name: '`residual_norm`, without a residual',
    ...{ flops: 8 * cells, bytes: 4 * cells },
    find: ['rows', 'residual_norm', 'layer'],
    ...{ two: 2, one: 0 },
  },
];

function newest(results) {
  const names = existsSync(results) ? readdirSync(results).filter((name) => /^gpu-.*\.json$/.test(name)) : [];
  const files = names.map((name) => ({ name, data: JSON.parse(readFileSync(join(results, name), 'utf8')) }));
  return files.sort((a, b) => (a.data.started < b.data.started ? 1 : -1))[0];
}

/** Microseconds of the fastest line that a kernel's `find` means, or undefined. */
function timeOf(data, [experiment, op, start, way]) {
  if (!data) return undefined;
  if (experiment === 'e3') {
    const full = attention(data, experiment).find(
      ({ load }) => load.batch === batch && load.cap === length && load.kind === 'full',
    );
    return full?.strategies[0].us;
  }
  const times = kernels(data, experiment)
    .filter((line) => line.op === op && line.shape === 'base' && line.tokens === tokens)
    .filter(({ name }) => name.startsWith(start) && (!way || name.includes(`] ${way}`)))
    .map(({ us }) => us);
  return times.length > 0 ? Math.min(...times) : undefined;
}

const us = (value) => (value === undefined ? 'not measured' : value.toFixed(1));
const floorsOf = ({ flops, bytes }) => [(flops / FLOPS) * 1e6, (bytes / BYTES) * 1e6];

/** The row of a whole layer, whose kernels run one after the other. */
function total(title, rows, key, times) {
  const count = rows.filter((row) => row[key] > 0);
  const sum = (value) => count.reduce((result, row) => result + row[key] * value(row), 0);
  const measured = count.every((row) => row.time !== undefined);
  return [
    title,
    us(times * sum((row) => floorsOf(row)[0])),
    us(times * sum((row) => floorsOf(row)[1])),
    us(times * sum((row) => Math.max(...floorsOf(row)))),
    measured ? us(times * sum((row) => row.time)) : us(undefined),
  ];
}

function section(file) {
  const rows = KERNELS.map((kernel) => ({ ...kernel, time: timeOf(file?.data, kernel.find) }));
  const lines = rows.map((row) => {
    const floors = floorsOf(row);
    return [row.name, us(floors[0]), us(floors[1]), us(Math.max(...floors)), us(row.time)];
  });
  const body = table(
    ['Kernel', 'FLOP floor, us', 'byte floor, us', 'the higher', 'time, us'],
    [
      ...lines,
      total('a layer, two norms apart', rows, 'two', 1),
      total('a layer, norms in the products', rows, 'one', 1),
      total(`${layers} layers, norms apart`, rows, 'two', layers),
      total(`${layers} layers, norms in the products`, rows, 'one', layers),
    ],
  );
  const source = file
    ? `Times from [${file.name}](../bench/results/${file.name}), ${file.data.gpu.name}.`
    : 'No time is measured.';
  return `${BEGIN}\n\n${body}\n\n${source}\n\n${END}`;
}

const { values } = parseArgs({
  options: { check: { type: 'boolean' }, results: { type: 'string' }, output: { type: 'string' } },
});
const page = join(root, 'docs/kernels.md');
const before = readFileSync(page, 'utf8');
const [begin, end] = [before.indexOf(BEGIN), before.indexOf(END)];
if (begin < 0 || end < begin) throw new Error(`${page} has no place for the table: ${BEGIN} and ${END}`);
const written = section(newest(values.results ?? join(root, 'bench/results')));
const after = before.slice(0, begin) + written + before.slice(end + END.length);
if (values.check) {
  if (after !== before) {
    console.error('docs/kernels.md: the table is out of date; run node scripts/kernels-doc.mjs');
    process.exitCode = 1;
  }
} else {
  writeFileSync(values.output ?? page, after);
}
