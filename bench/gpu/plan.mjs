#!/usr/bin/env node
// What is measured on a GPU, the same for padless and its rivals: sequence lengths, products, layers.
//   node bench/gpu/plan.mjs         prints it as JSON, for --plan of the measuring programs
// Experiments: e1 ByteTransformer's grid end to end, e2 a layer in steps, e3 attention alone, e4 attention by each
// strategy of the planner, gemm products beside cuBLASLt, norm products and the norm of their rows in two kernels and
// in one, rows everything between them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const { BERT_BASE, MINILM } = require('../../dist/demo/random_checkpoint.js');
const { Random } = require('../../dist/demo/random.js');

/** Whole encoders, by the name that loads use. */
const MODELS = { base: { ...BERT_BASE, positions: 1024 }, minilm: MINILM };

/** Lognormal text lengths: median and sigma. */
const TEXTS = { queries: [8.5, 0.33], passages: [71, 0.4], wiki: [150, 0.65], chunks: [300, 0.45] };
const SEEDS = [1, 2, 3];

const clamp = (value, low, high) => Math.max(low, Math.min(high, Math.round(value)));

/**
 * `batch` lengths of 1 to `cap`. Kinds: full; uniformR, evenly around R * cap as ByteTransformer draws them; bimodalR,
 * a tenth of cap or cap with that mean; short, a lognormal with its median at a tenth of cap; and the TEXTS.
 */
export function drawLengths({ kind, batch, cap, seed }) {
  const random = new Random(seed);
  const [, name, share] = /^([a-z]+)([\d.]*)$/.exec(kind);
  const mean = Number(share) * cap;
  const lognormal = ([median, sigma]) => median * Math.exp(sigma * random.normal());
  const draw = {
    full: () => cap,
    uniform: () => {
      const [low, high] = [Math.max(1, Math.floor(2 * mean - cap)), Math.min(cap, Math.ceil(2 * mean - 1))];
      return low + random.below(Math.max(1, high - low + 1));
    },
    bimodal: () => (random.uniform() < (mean - cap / 10) / (cap - cap / 10) ? cap : cap / 10),
    short: () => lognormal([cap / 10, 0.6]),
  }[name];
  return Array.from({ length: batch }, () => clamp(draw ? draw() : lognormal(TEXTS[kind]), 1, cap));
}

const withLengths = (load) => ({ ...load, lengths: drawLengths(load) });

/**
 * Loads of a whole encoder. `compiled`: rivals may take the minute that compiling for the shape needs. Those of e1 are
 * ByteTransformer's with larger batches, other shares of the longest, and other distributions.
 */
function endToEndLoads() {
  const loads = [];
  const add = (experiment, model, batch, cap, kind, compiled, seed = 1) =>
    loads.push(withLengths({ experiment, model, batch, cap, kind, seed, compiled }));
  for (const model of ['base', 'minilm']) {
    add('texts', model, 1, 32, 'full', true);
    add('texts', model, 8, 64, 'full', true);
    add('texts', model, 64, 256, 'full', true);
    add('texts', model, 16, 512, 'full', true);
    add('texts', model, 256, 512, 'passages', true);
    add('texts', model, 64, 512, 'wiki', true);
    for (const cap of [128, 512]) add('texts', model, 16, cap, 'uniform0.6', true);
  }
  for (const cap of [32, 64, 128, 256, 384, 512, 1024]) {
    for (const batch of [1, 2, 4, 8, 16, 32, 64, 128])
      for (const seed of batch === 16 ? SEEDS : [1]) add('e1', 'base', batch, cap, 'uniform0.6', false, seed);
    for (const share of ['0.1', '0.3', '0.9']) add('e1', 'base', 16, cap, `uniform${share}`, false);
    for (const kind of ['full', 'bimodal0.3', 'short']) add('e1', 'base', 16, cap, kind, false);
  }
  return loads;
}

/** Loads of attention alone. */
function attentionLoads() {
  const loads = [];
  const add = (experiment, batch, cap, heads, headDim, kind, seed = 1) =>
    loads.push(withLengths({ experiment, batch, cap, heads, headDim, kind, seed }));
  for (const cap of [64, 128, 256, 512, 1024])
    for (const seed of SEEDS) add('e3', 16, cap, 12, 64, 'uniform0.6', seed);
  // Where ByteTransformer changes from one kernel to another.
  for (const cap of [80, 81, 352, 353, 384, 385]) add('e3', 16, cap, 12, 64, 'full');
  for (const kind of ['full', 'uniform0.6']) add('e3', 8, 2048, 16, 64, kind); // the point that PyTorch published
  add('e3', 16, 1024, 12, 64, 'full');
  add('e3', 64, 256, 12, 64, 'full');
  add('e3', 32, 512, 12, 64, 'full');
  add('e3', 256, 512, 12, 64, 'passages');
  add('e3', 512, 64, 12, 32, 'queries');
  add('e3', 64, 512, 12, 64, 'wiki');
  add('e3', 8, 8192, 12, 64, 'uniform0.6');
  for (const kind of ['uniform0.6', 'bimodal0.3', 'wiki'])
    for (const seed of SEEDS) add('e4', 56, 512, 16, 64, kind, seed);
  return loads;
}

/** Batches of the products of a layer, in tokens, by the shape of the model. */
const products = { shapes: ['base', 'large'], tokens: [64, 512, 4096, 16_384, 65_536] };

/** Longest sequences of the stepwise layer, at batch 16 and a mean of 0.6 of them. */
const ladderCaps = [128, 256, 512, 1024];

/** The plan, or another one of the same form from a file. */
export function planOf(file) {
  if (file !== undefined) return JSON.parse(readFileSync(file, 'utf8'));
  return { models: MODELS, endToEnd: endToEndLoads(), attention: attentionLoads(), products, ladderCaps };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  process.stdout.write(`${JSON.stringify(planOf())}\n`);
