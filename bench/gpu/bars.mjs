// What the kernels are asked to reach on an H100 SXM, beside what a file of scripts/verify-gpu.sh measured. Each bar
// is {name, wanted, got, detail, met}; without a measurement got, detail and met are undefined.
import { attention, endToEnd, geometricMean, kernels, loadName } from './view.mjs';

const times = (value) => `${value.toFixed(2)}x`;
const milliseconds = (value) => `${value.toFixed(2)} ms`;
const teraflops = (value) => `${value.toFixed(0)} TFLOP/s`;
const percent = (value) => `${Math.round(100 * value)}%`;

const bar = (name, sign, limit, show, measured, met) => ({
  ...{ name, wanted: `${sign} ${show(limit)}` },
  ...(measured && { got: show(measured.value), detail: measured.detail, met: met(measured.value) }),
});
const atLeast = (name, limit, show, measured) =>
  bar(name, '>=', limit, show, measured, (value) => value >= limit);
const atMost = (name, limit, show, measured) =>
  bar(name, '<=', limit, show, measured, (value) => value <= limit);

const leastOf = (named) => named.reduce((a, b) => (b.value < a.value ? b : a));

/** The geometric mean of [{name, value}]. */
function mean(named) {
  if (named.length === 0) return undefined;
  const { name, value } = leastOf(named);
  const detail = `geometric mean of ${named.length}; the least ${times(value)}, ${name}`;
  return { value: geometricMean(named.map((each) => each.value)), detail };
}

/** The least of [{name, value}]: all have to reach the bar. */
function worst(named) {
  if (named.length === 0) return undefined;
  const { name, value } = leastOf(named);
  return { value, detail: `the least of ${named.length}: ${name}` };
}

/** Products from 4,096 tokens on by an op of kernel_bench: the time that `field` has over theirs. */
const products = (data, op, field) =>
  kernels(data, 'gemm')
    .filter((line) => line.op === op && line.tokens >= 4096 && line[field])
    .map((line) => ({ name: `${line.shape} ${line.name}`, value: line[field] / line.us }));

/** Attention at head dim 64 as engines plan it: the time of PyTorch's `field` over its time. */
const attentionOver = (data, field, wanted) =>
  ['e3', 'e4']
    .flatMap((experiment) => attention(data, experiment))
    .filter(({ load, planned, rivals }) => load.headDim === 64 && wanted(load) && planned && rivals[field])
    .map(({ load, planned, rivals }) => ({ name: loadName(load), value: rivals[field] / planned.us }));

const meanLength = ({ tokens, batch }) => tokens / batch;

/** TFLOP/s of loads of full length at head dim 64 by a strategy: {name, load, value}. */
const rates = (data, strategy, wanted) =>
  attention(data, 'e3')
    .filter(({ load }) => load.headDim === 64 && load.kind === 'full' && wanted(load))
    .flatMap(({ load, strategies }) =>
      strategies
        .filter((line) => line.strategy === strategy && !line.sorted)
        .map((line) => ({ name: loadName(load), load, value: line.flops / line.us / 1e6 })),
    );

/** FlashAttention-2's TFLOP/s at head dim 64 on an H100, by length. */
const FLASH_ATTENTION_2 = { 512: 282, 1024: 306, 2048: 318 };
const flashAttention2 = (data) =>
  rates(data, 'portable', ({ cap }) => FLASH_ATTENTION_2[cap]).map(({ name, load, value }) => ({
    name,
    value: value / FLASH_ATTENTION_2[load.cap],
  }));

const texts = (data) => endToEnd(data).filter(({ line }) => line.experiment === 'texts');

const WAYS = {
  ms: 'as by default',
  overlap_ms: 'with overlap',
  fused_ms: 'norms in the products',
  apart_ms: 'norms apart',
};
const ON_THE_DEVICE = { queued_ms: 'the mean of passes in a row', overlap_queued_ms: 'so, with overlap' };

/** BERT-base in the fastest of several ways. */
function bertBase(data, batch, cap, kind, ways = WAYS) {
  const of = ({ line }) =>
    line.model === 'base' && line.batch === batch && line.cap === cap && line.kind === kind;
  const line = texts(data).find(of)?.line ?? {};
  const measured = Object.entries(ways).filter(([field]) => line[field] !== undefined);
  if (measured.length === 0) return undefined;
  const { name, value } = leastOf(measured.map(([field, name]) => ({ name, value: line[field] })));
  return { value, detail: name };
}

/** Compiled PyTorch where there is nothing to unpad. */
const unpadded = (data) =>
  texts(data)
    .filter(({ line, rivals }) => line.kind === 'full' && rivals.padded_compiled_ms)
    .map(({ line, rivals }) => ({
      name: `${line.model} ${loadName(line)}`,
      value: Math.min(rivals.padded_compiled_ms, rivals.packed_compiled_ms ?? Infinity) / line.ms,
    }));

/** What holds the bits: the kernels' tests and the device suite. */
function bits(data) {
  const steps = data.steps.filter(({ name }) => name === 'kernel tests' || name === 'device suite');
  const ran = steps.length === 2 && steps.every(({ outcome }) => outcome !== 'skipped');
  return ran ? { got: 'run', met: steps.every(({ outcome }) => outcome === 'passed') } : {};
}

function batchDeterminism(data) {
  const ratios = endToEnd(data).flatMap(({ line }) => (line.batch_ms ? [line.batch_ms / line.ms] : []));
  return ratios.length > 0 ? { got: `${times(geometricMean(ratios))} the time`, met: true } : {};
}

/** Kernels between the products and attention. */
const rows = (data) =>
  kernels(data, 'rows')
    .filter(({ op }) => op !== 'disentangled')
    .map(({ op, name, fraction_of_roof: value }) => ({ name: `${op} ${name}`, value }));

function hopper(data) {
  const fused = products(data, 'linear', 'cublaslt_gelu_us');
  const short = attentionOver(data, 'varlen_us', (load) => meanLength(load) <= 256);
  const long = attentionOver(
    data,
    'varlen_us',
    (load) => meanLength(load) >= 512 && meanLength(load) <= 2048,
  );
  const published = rates(
    data,
    'auto',
    ({ batch, cap, heads }) => batch === 8 && cap === 2048 && heads === 16,
  );
  const passage = bertBase(data, 64, 256, 'full');
  const query = bertBase(data, 1, 32, 'full', ON_THE_DEVICE);
  return [
    atLeast('products, of cuBLASLt', 0.95, times, mean(products(data, 'linear', 'cublaslt_us'))),
    atLeast('products with bias and GELU, of cuBLASLt with its own', 1, times, mean(fused)),
    atLeast('attention, mean length to 256, of varlen_attn', 1.3, times, mean(short)),
    atLeast('attention, mean length 512 to 2,048, of varlen_attn', 1, times, mean(long)),
    atLeast('attention, 8 x 2048', 300, teraflops, worst(published)),
    atMost('BERT-base, 64 x 256', 5.2, milliseconds, passage),
    atMost('BERT-base, 64 x 256: the goal', 4.4, milliseconds, passage),
    atMost('BERT-base, 16 x 512 at 0.6', 2, milliseconds, bertBase(data, 16, 512, 'uniform0.6')),
    atMost('BERT-base, 1 x 32, on the device', 0.2, milliseconds, query),
    atLeast('nothing to unpad, of compiled PyTorch', 1, times, worst(unpadded(data))),
    { name: 'the same bits again, alone and in a batch', wanted: 'tests pass', ...bits(data) },
    { name: "determinism: 'batch'", wanted: 'measured', ...batchDeterminism(data) },
  ];
}

function portable(data) {
  const passages = attentionOver(data, 'sdpa_us', ({ kind }) => kind === 'passages');
  return [
    atLeast('products, of cuBLASLt', 0.6, times, mean(products(data, 'linear_portable', 'cublaslt_us'))),
    atLeast('attention from 512 on, of FlashAttention-2', 1, times, worst(flashAttention2(data))),
    atLeast('attention over passages, of padded SDPA', 1.5, times, mean(passages)),
    atLeast('rows and norms, of a copy', 0.85, percent, worst(rows(data))),
    atMost('BERT-base, 16 x 512 at 0.6', 3, milliseconds, bertBase(data, 16, 512, 'uniform0.6')),
  ];
}

/** Of the kernels for Hopper, and of those for every GPU. */
export const bars = (data) => [
  ...hopper(data).map((each) => ({ kernels: 'Hopper', ...each })),
  ...portable(data).map((each) => ({ kernels: 'portable', ...each })),
];

/** How a bar stands. */
export const verdict = ({ met }) => (met === undefined ? 'not measured' : met ? 'met' : 'MISSED');
