#!/usr/bin/env node
// The CPU benchmark: padless and every rival that is installed, interleaved in one run.   --help lists the options.
import { RIVALS, findRivals, reasonAbsent, startAll } from './contestants.mjs';
import { measureMemory } from './memory.mjs';
import { SHAPES, modelFolder, usefulOperations } from './models.mjs';
import { USAGE, readOptions } from './options.mjs';
import { writeReport } from './report.mjs';
import { Results, commit, defaultOutput, machine, root } from './results.mjs';
import { Roof } from './roof.mjs';
import { play } from './tournament.mjs';
import { makeWorkload } from './workloads.mjs';

const BATCH_COUNTS = [1, 4, 16, 64, 256, 1024];
const LENGTHS = [16, 32, 64, 128, 256, 512];
const LENGTH_TOKENS = 4096;
/** Sequences of 512 tokens: about as long a sample for either shape. */
const UNIFORM = { minilm: '8x512', base: '2x512' };
/** The rival that most Node services call, as they call it: one batch padded to its longest. */
const PADDED_RIVALS = ['onnxruntime-node'];
const GIGA = 1e9;

const say = (text) => process.stderr.write(`${text}\n`);

/** The groups of a model and precision, in the order of their worth. */
function plan({ parts, workloads }, model, dtype) {
  const groups = [];
  const add = (part, names, more = {}) => {
    if (parts.includes(part)) groups.push(...names.map((workload) => ({ part, workload, ...more })));
  };
  add('workloads', workloads);
  if (dtype === 'f32') add('padded', ['W2'], { modes: ['padded'], rivals: PADDED_RIVALS });
  add('uniform', [UNIFORM[model]]);
  if (model === 'minilm') {
    add(
      'batch',
      BATCH_COUNTS.map((count) => `${count}x64`),
      { rivals: [] },
    );
    add(
      'length',
      LENGTHS.map((length) => `${LENGTH_TOKENS / length}x${length}`),
      { rivals: [] },
    );
  }
  return groups;
}

/** The contestants of a group, with its modes. */
function choose(contestants, { rivals, modes }) {
  return contestants
    .filter(({ name }) => name === 'padless' || !rivals || rivals.includes(name))
    .map((contestant) => contestant.withModes(contestant.name === 'padless' ? undefined : modes));
}

function describe(group) {
  const [padless, ...rivals] = group.contestants;
  const best = rivals.filter(({ ms }) => ms).sort((a, b) => a.ms - b.ms)[0];
  const number = (value) => Math.round(value).toLocaleString('en-US');
  const share = `${(100 * padless.fractionOfRoof).toFixed(0)}% of roof`;
  const ratio = best && `, ${(best.ms / padless.ms).toFixed(2)}x of ${best.name} ${best.mode}`;
  return `${group.key.padEnd(32)} ${number(padless.tokensPerSecond).padStart(8)} tokens/s, ${share}${ratio ?? ''}`;
}

async function runPrecision(model, dtype, folder, { options, rivals, results, roof, references, absent }) {
  const groups = plan(options, model, dtype)
    .map((group) => ({ ...group, key: `${model}/${dtype}/${group.part}/${group.workload}` }))
    .filter(({ key }) => !results.has(key));
  if (groups.length === 0) return;
  const contestants = await startAll(dtype, folder, { rivals, options, absent });
  results.data.absent = Object.fromEntries(absent);
  try {
    for (const { key, part, workload: name, ...choice } of groups) {
      const workload = makeWorkload(options.data, name, options.seed);
      const operations = usefulOperations(SHAPES[model], workload.lengths);
      const played = await play(choose(contestants, choice), workload, {
        dtype,
        operations,
        rounds: options.rounds,
        finalists: options.finalists,
        roof,
        references,
      });
      const { title, lengths, tokens } = workload;
      const group = {
        key,
        part,
        model,
        dtype,
        workload: name,
        title,
        sequences: lengths.length,
        tokens,
        operations,
      };
      results.data.groups.push({ ...group, contestants: played });
      results.data.roof = { ...roof.best, read: await roof.burst('read', 30) };
      results.save();
      say(describe(results.data.groups.at(-1)));
    }
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.stop()));
  }
}

async function runMemory(model, folder, { options, results }) {
  for (const dtype of options.dtypes) {
    if (results.hasMemory(model, dtype)) continue;
    const measured = await measureMemory(folder, dtype, options.threads);
    results.data.memory.push({ model, dtype, ...measured });
    results.save();
    const { peakMiB, weightsMiB, firstResultMs } = measured;
    say(
      `${`${model}/${dtype}/memory`.padEnd(32)} peak ${peakMiB.toFixed(0)} MiB for ${weightsMiB.toFixed(0)} MiB of weights, ` +
        `first result after ${firstResultMs.toFixed(0)} ms`,
    );
  }
}

/** Contestants whose vectors are not those of the reference. */
function disagreements(groups) {
  return groups.flatMap(({ key, contestants }) =>
    contestants
      .filter(({ agreement }) => agreement && !agreement.agrees)
      .map(({ name, mode, agreement }) => `${key}: ${name} ${mode}, cosine ${agreement.cosine}`),
  );
}

async function main() {
  const options = readOptions(root);
  if (options.help) return process.stdout.write(USAGE);
  const rivals = await findRivals(options);
  const absent = new Map();
  for (const entry of RIVALS) {
    const reason = options.rivals.includes(entry.name) ? reasonAbsent(entry, rivals) : 'not asked for';
    if (reason) absent.set(entry.name, reason);
  }
  for (const [name, reason] of absent) say(`without ${name}: ${reason}`);
  const { models, dtypes, workloads, parts, seed, rounds, finalists, threads, patience } = options;
  const facts = {
    ...commit(),
    started: new Date().toISOString(),
    machine: machine(),
    versions: { node: process.version, ...rivals.versions },
    options: { models, dtypes, workloads, parts, seed, rounds, finalists, threads, patience },
    absent: Object.fromEntries(absent),
  };
  const results = new Results(options.output ?? defaultOutput(), facts, options.resume);
  const roof = await Roof.start(threads, patience);
  const read = await roof.burst('read', 100);
  const { f32, bf16, int8 } = roof.best;
  const rates = [f32, bf16, int8, read].map((rate) => (rate / GIGA).toFixed(0));
  say(
    `roof on ${threads} threads: f32 ${rates[0]}, bf16 ${rates[1]}, int8 ${rates[2]} Gop/s; ${rates[3]} GB/s from memory`,
  );
  results.data.roof = { ...roof.best, read };
  const run = { options, rivals, results, roof, absent };
  try {
    for (const model of models) {
      const folder = await modelFolder(options.data, model, seed);
      const references = new Map();
      for (const dtype of dtypes) await runPrecision(model, dtype, folder, { ...run, references });
      if (parts.includes('memory')) await runMemory(model, folder, run);
    }
  } finally {
    await roof.stop();
    results.save();
  }
  const report = writeReport(results.data, results.path.replace(/\.json$/, '.html'));
  say(`${results.path}\n${report}`);
  const wrong = disagreements(results.data.groups);
  for (const line of wrong) say(`disagrees with the reference: ${line}`);
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

await main().catch((error) => {
  say(`bench:cpu: ${error.message}`);
  process.exitCode = 2;
});
