// The CUDA section of docs/performance.md, from a file of scripts/verify-gpu.sh.
import { integer, milliseconds, percent, times } from '../bench/cpu/view.mjs';
import { bars, verdict } from '../bench/gpu/bars.mjs';
import {
  attention,
  endToEnd,
  failures,
  geometricMean,
  kernels,
  loadName,
  products,
} from '../bench/gpu/view.mjs';
import { table } from './markdown.mjs';

const NOT_MEASURED = 'Not measured.';

const tflops = ({ flops, us }) => (flops / us / 1e6).toFixed(0);
const orNone = (value, render) => (value === undefined ? 'none' : render(value));

const endToEndTable = (results) =>
  table(
    [
      'Model',
      'Batch',
      'Tokens',
      'padless ms',
      'overlapping, ms',
      "determinism 'batch', ms",
      'fp8, ms',
      'TFLOP/s',
      'best of PyTorch',
      'its ms',
      'ratio',
    ],
    results.map(({ line, rival, ratio }) => [
      line.model,
      loadName(line),
      integer(line.tokens),
      milliseconds(line.ms),
      orNone(line.overlap_ms, milliseconds),
      orNone(line.batch_ms, milliseconds),
      orNone(line.fp8_ms, milliseconds),
      line.tflops.toFixed(0),
      orNone(rival, ({ name }) => name),
      orNone(rival, ({ value }) => milliseconds(value)),
      orNone(ratio, times),
    ]),
  );

function productsTable(results) {
  const large = results.filter(({ line, ratio }) => ratio && line.tokens >= 4096).map(({ ratio }) => ratio);
  const mean =
    large.length > 0 ? `\n\nGeometric mean from 4,096 tokens on: ${times(geometricMean(large))}.` : '';
  const body = table(
    ['Shape', 'Product [tokens, outputs, inputs]', 'us', 'TFLOP/s', 'of the roof', 'of cuBLASLt'],
    results.map(({ line, ratio }) => [
      line.shape,
      line.name,
      line.us.toFixed(1),
      tflops(line),
      percent(line.fraction_of_roof),
      orNone(ratio, times),
    ]),
  );
  return body + mean;
}

/** Strategies of attention beside the fastest: there are dozens. */
const OTHERS = 4;

const attentionTable = (results) =>
  table(
    ['Batch', 'Heads', 'fastest strategy', 'us', 'TFLOP/s', 'the next, us', 'best of PyTorch', 'ratio'],
    results.map(({ load, strategies: [best, ...others], rival, ratio }) => [
      loadName(load),
      `${load.heads} x ${load.headDim}`,
      best.name,
      best.us.toFixed(1),
      tflops(best),
      others
        .slice(0, OTHERS)
        .map(({ name, us }) => `${name} ${us.toFixed(1)}`)
        .join('; '),
      orNone(rival, ({ name, value }) => `${name} ${value.toFixed(1)} us`),
      orNone(ratio, times),
    ]),
  );

const barsTable = (data) =>
  table(
    ['Kernels', 'Bar', 'asked', 'measured', ''],
    bars(data).map((bar) => [
      bar.kernels,
      bar.name,
      bar.wanted,
      [bar.got, bar.detail].filter(Boolean).join(', '),
      verdict(bar),
    ]),
  );

const kernelsTable = (lines) =>
  table(
    ['Kernel', 'Variant', 'us', 'GB/s', 'of the roof'],
    lines.map((line) => [
      line.op,
      line.name,
      line.us.toFixed(1),
      integer(line.bytes / line.us / 1e3),
      percent(line.fraction_of_roof),
    ]),
  );

const ladderTable = (lines) =>
  table(
    ['Longest', 'Step', 'us', 'TFLOP/s'],
    lines.map((line) => [line.cap, line.name, line.us.toFixed(0), tflops(line)]),
  );

const section = (title, results, render) =>
  `### ${title}\n\n${results.length > 0 ? render(results) : NOT_MEASURED}`;

/** @param file {name, data} of the newest results, or undefined */
export function cudaSection(file) {
  if (!file) return NOT_MEASURED;
  const { data, name } = file;
  const ran = endToEnd(data);
  const of = (experiment) => ran.filter(({ line }) => line.experiment === experiment);
  const refused = data.steps.filter(({ outcome }) => outcome !== 'passed');
  return [
    `${data.gpu.name}, driver ${data.gpu.driver}, ${data.gpu.clock}, ${data.gpu.power}. ` +
      `Commit ${data.commit?.slice(0, 7) ?? 'unknown'}, ${data.started.slice(0, 10)}. ` +
      `From [${name}](../bench/results/${name}).`,
    'bf16, random data; medians; FLOPs of real tokens only. Kernels are timed by CUDA events with an L2 cache full ' +
      'of other data, whole encoders from token ids on the host to pooled rows on the host. The roof is what ' +
      'mma.sync and a copy reach in the same run.',
    ...(refused.length > 0
      ? [`Steps that did not pass: ${refused.map((step) => `${step.name} (${step.outcome})`).join(', ')}.`]
      : []),
    ...(failures(data).length > 0 ? [`Measurements that failed: ${failures(data).length}.`] : []),
    `### Bars, for an H100 SXM\n\n${barsTable(data)}`,
    section('BERT-base and MiniLM', of('texts'), endToEndTable),
    section("ByteTransformer's grid", of('e1'), endToEndTable),
    section('A layer in steps', kernels(data, 'e2'), ladderTable),
    section('Attention alone', attention(data, 'e3'), attentionTable),
    section('Attention by strategy', attention(data, 'e4'), attentionTable),
    section('Products beside cuBLASLt', products(data), productsTable),
    section('Other kernels', kernels(data, 'rows'), kernelsTable),
  ].join('\n\n');
}
