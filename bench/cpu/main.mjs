#!/usr/bin/env node
// The CPU benchmark: padless and every rival that is installed, interleaved in one run.   --help lists the options.
import { readFileSync } from 'node:fs';
import { RIVALS, findRivals, reasonAbsent, startAll } from './contestants.mjs';
import { measureMemory } from './memory.mjs';
import { SHAPES, modelFolder, usefulOperations } from './models.mjs';
import { USAGE, readOptions } from './options.mjs';
import { stages } from './plan.mjs';
import { writeReport } from './report.mjs';
import { Results, commit, defaultOutput, machine, root } from './results.mjs';
import { Roof } from './roof.mjs';
import { play } from './tournament.mjs';
import { bestRival, integer, padlessOf, percent, ratioToBest, times } from './view.mjs';
import { makeWorkload } from './workloads.mjs';

const GIGA = 1e9;

const say = (text) => process.stderr.write(`${text}\n`);

function describe(group) {
  const [padless, rival] = [padlessOf(group), bestRival(group)];
  const ratio = rival ? `, ${times(ratioToBest(group))} of ${rival.name} ${rival.mode}` : '';
  const rate = integer(padless.tokensPerSecond).padStart(8);
  return `${group.key.padEnd(32)} ${rate} tokens/s, ${percent(padless.fractionOfRoof)} of roof${ratio}`;
}

/** One run: what its stages share. */
class Run {
  #references = new Map();

  constructor(facts) {
    Object.assign(this, facts);
    this.deadline = performance.now() + this.options.minutes * 60e3;
  }

  /** False, and noted, once the time is over. */
  #hasTime(key) {
    if (performance.now() < this.deadline) return true;
    this.left.push(key);
    return false;
  }

  async #playGroup(contestants, { key, part, workload: name, only, modes }, { model, dtype }) {
    const { options, results, roof } = this;
    const workload = makeWorkload(options.data, name, options.seed);
    const operations = usefulOperations(SHAPES[model], workload.lengths);
    const invited = contestants
      .filter((contestant) => contestant.name === 'padless' || !only || only.includes(contestant.name))
      .map((contestant) => (contestant.name === 'padless' ? contestant : contestant.withModes(modes)));
    const played = await play(invited, workload, {
      dtype,
      operations,
      rounds: options.rounds,
      finalists: options.finalists,
      roof,
      references: this.#references,
      referenceKey: `${model} ${workload.path}`,
    });
    const { title, lengths, tokens } = workload;
    const facts = { key, part, model, dtype, workload: name, title, sequences: lengths.length, tokens };
    const group = { ...facts, operations, contestants: played };
    results.data.groups.push(group);
    results.data.roof = { ...roof.facts, ...roof.best, read: await roof.burst('read', 30) };
    results.save();
    say(describe(group));
  }

  async playStage(stage, folder) {
    const { options, rivals, results, absent } = this;
    const groups = stage.groups.filter(({ key }) => !results.has(key) && this.#hasTime(key));
    if (groups.length === 0) return;
    const contestants = await startAll(stage, folder, { rivals, options, absent });
    results.data.absent = Object.fromEntries(absent);
    try {
      for (const group of groups) {
        if (this.#hasTime(group.key)) await this.#playGroup(contestants, group, stage);
      }
    } finally {
      await Promise.all(contestants.map((contestant) => contestant.stop()));
    }
  }

  async measureMemory({ model, dtype }, folder) {
    const { options, results } = this;
    const key = `${model}/${dtype}/memory`;
    if (results.hasMemory(model, dtype) || !this.#hasTime(key)) return;
    const measured = await measureMemory(folder, dtype, options);
    results.data.memory.push({ model, dtype, ...measured });
    results.save();
    const { peakMiB, weightsMiB, firstResultMs } = measured;
    say(
      `${key.padEnd(32)} peak ${integer(peakMiB)} MiB for ${integer(weightsMiB)} MiB of weights, ` +
        `first result after ${integer(firstResultMs)} ms`,
    );
  }
}

/** The folder of each model that can be made here; prints why another cannot. */
async function makeModels({ models, data, seed, python }) {
  const folders = new Map();
  for (const model of models) {
    try {
      folders.set(model, await modelFolder(data, model, seed, python));
    } catch (error) {
      say(`without the model ${model}: ${error.message}`);
    }
  }
  return folders;
}

/** Contestants whose vectors are not those of the reference. */
function disagreements(groups) {
  return groups.flatMap(({ key, contestants }) =>
    contestants
      .filter(({ agreement }) => agreement && !agreement.agrees)
      .map(({ name, mode, agreement }) => `${key}: ${name} ${mode}, cosine ${agreement.cosine}`),
  );
}

function findAbsent(options, rivals) {
  const absent = new Map();
  for (const entry of RIVALS) {
    const reason = options.rivals.includes(entry.name) ? reasonAbsent(entry, rivals) : 'not asked for';
    if (reason) absent.set(entry.name, reason);
  }
  for (const [name, reason] of absent) say(`without ${name}: ${reason}`);
  return absent;
}

async function startRoof({ threads, isa, patience }) {
  const roof = await Roof.start({ threads, isa, patience });
  const read = await roof.burst('read', 100);
  const { f32, bf16, int8 } = roof.best;
  const [a, b, c, d] = [f32, bf16, int8, read].map((rate) => (rate / GIGA).toFixed(0));
  say(`roof on ${threads} threads: f32 ${a}, bf16 ${b}, int8 ${c} Gop/s; ${d} GB/s from memory`);
  return { roof, read };
}

/** Writes the report of a results file, beside it; returns its path. */
const report = (data, path) => writeReport(data, `${path.replace(/\.json$/, '')}.html`);

async function main() {
  const options = readOptions(root);
  if (options.help) return process.stdout.write(USAGE);
  if (options.report !== undefined)
    return say(report(JSON.parse(readFileSync(options.report, 'utf8')), options.report));
  const rivals = await findRivals(options);
  const absent = findAbsent(options, rivals);
  const { models, dtypes, workloads, parts, seed, rounds, finalists, threads, isa, patience, minutes } =
    options;
  const facts = {
    ...commit(),
    started: new Date().toISOString(),
    machine: machine(),
    versions: { node: process.version, ...rivals.versions },
    options: { models, dtypes, workloads, parts, seed, rounds, finalists, threads, isa, patience, minutes },
    absent: Object.fromEntries(absent),
  };
  const results = new Results(options.output ?? defaultOutput(options), facts, options.resume);
  const folders = await makeModels(options);
  const { roof, read } = await startRoof(options);
  results.data.roof = { ...roof.facts, ...roof.best, read };
  const left = [];
  const run = new Run({ options, rivals, results, roof, absent, left });
  try {
    for (const stage of stages(options)) {
      const folder = folders.get(stage.model);
      if (folder && stage.memory) await run.measureMemory(stage, folder);
      else if (folder) await run.playStage(stage, folder);
    }
  } finally {
    await roof.stop();
    results.save();
  }
  say(`${results.path}\n${report(results.data, results.path)}`);
  if (left.length > 0) say(`no time was left for ${left.join(', ')}; the same command with --resume goes on`);
  const wrong = disagreements(results.data.groups);
  for (const line of wrong) say(`disagrees with the reference: ${line}`);
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

await main().catch((error) => {
  say(`bench:cpu: ${error.message}`);
  process.exitCode = 2;
});
