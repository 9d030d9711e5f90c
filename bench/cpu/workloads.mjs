// Seeded workloads of token ids, as files: every contestant reads the same one.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../dist/demo/random.js';

const CLS = 101;
const SEP = 102;
const FIRST_WORD = 1000;
const LAST_WORD = 30_000;
const LONGEST = 512;

const clamp = (value, low, high) => Math.min(high, Math.max(low, Math.round(value)));

function logNormal(random, count, mean, low, high) {
  const sigma = 0.5;
  return Array.from({ length: count }, () =>
    clamp(mean * Math.exp(sigma * random.normal() - (sigma * sigma) / 2), low, high),
  );
}

/** Sixteen lengths, one drawn from each sixteenth of [102, 512], the longest 512, filling 60% of a padded batch. */
function documents(random) {
  const count = 16;
  const low = 102;
  const step = (LONGEST - low) / count;
  const lengths = Array.from({ length: count }, (_, i) => Math.round(low + step * (i + random.uniform())));
  lengths[count - 1] = LONGEST;
  const wanted = Math.round(0.6 * LONGEST * count);
  const total = () => lengths.reduce((sum, length) => sum + length, 0);
  for (let i = 0; total() !== wanted; i++) lengths[i % (count - 1)] += Math.sign(wanted - total());
  return lengths;
}

/** What each letter means; the report says it in these words. */
export const WORKLOADS = {
  W1: { title: '64 queries, mean 12 tokens', lengths: (random) => logNormal(random, 64, 12, 4, 48) },
  W2: { title: '32 passages, mean 80 tokens', lengths: (random) => logNormal(random, 32, 80, 16, 256) },
  W3: { title: '16 documents, mean 307 tokens', lengths: documents },
  W4: { title: 'one query of 16 tokens', lengths: () => [16] },
};

/** `COUNTxLENGTH`: so many sequences of one length. */
function uniformLengths(name) {
  const match = /^([1-9]\d*)x([1-9]\d*)$/.exec(name);
  if (!match || Number(match[2]) > LONGEST) return undefined;
  return new Array(Number(match[1])).fill(Number(match[2]));
}

/** `5+512+33`: one sequence of each length. */
function listedLengths(name) {
  const lengths = name.split('+').map(Number);
  return lengths.every((length) => Number.isInteger(length) && length >= 1 && length <= LONGEST)
    ? lengths
    : undefined;
}

const drawnLengths = (name, random) =>
  WORKLOADS[name]?.lengths(random) ?? uniformLengths(name) ?? listedLengths(name);

/** Lengths of a workload by name: W1 to W4, COUNTxLENGTH, or LENGTH+LENGTH+... Undefined for anything else. */
export const lengthsOf = (name, seed) => drawnLengths(name, randomFor(name, seed));

function titleOf(name, lengths) {
  if (WORKLOADS[name]) return WORKLOADS[name].title;
  const same = lengths.every((length) => length === lengths[0]);
  return `${lengths.length} sequences of ${same ? lengths[0] : `${Math.min(...lengths)} to ${Math.max(...lengths)}`} tokens`;
}

/** Every workload of a seed has a stream of its own. */
function randomFor(name, seed) {
  const hash = [...name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 7);
  return new Random((hash ^ Math.imul(seed, 0x9e3779b1)) >>> 0);
}

/** Writes the file of a workload, and one of every fourth sequence by length for the qualifying round. */
export function makeWorkload(data, name, seed) {
  const random = randomFor(name, seed);
  const lengths = drawnLengths(name, random);
  const sequences = lengths.map((length) => {
    const ids = Array.from({ length }, () => FIRST_WORD + random.below(LAST_WORD - FIRST_WORD));
    ids[0] = CLS;
    if (length > 1) ids[length - 1] = SEP;
    return ids;
  });
  const byLength = [...sequences].sort((a, b) => b.length - a.length);
  const sample = byLength.filter((_, i) => i % 4 === 0);
  return {
    name,
    title: titleOf(name, lengths),
    lengths,
    tokens: sequences.reduce((sum, sequence) => sum + sequence.length, 0),
    path: write(data, `${name}-${seed}`, name, sequences),
    samplePath: write(data, `${name}-${seed}-sample`, name, sample),
    sampleTokens: sample.reduce((sum, sequence) => sum + sequence.length, 0),
  };
}

function write(data, file, name, seqs) {
  const folder = join(data, 'workloads');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${file}.json`);
  const real_tokens = seqs.reduce((sum, sequence) => sum + sequence.length, 0);
  writeFileSync(path, JSON.stringify({ name, real_tokens, seqs }));
  return path;
}
