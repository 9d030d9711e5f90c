#!/usr/bin/env node
// Writes docs/performance.md from the files in bench/results: no number on that page is typed.
//   node scripts/performance-doc.mjs [--check]                 --check: fail if the page is not what would be written
//   node scripts/performance-doc.mjs --results DIR --output FILE
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  MODEL_TITLES,
  bestRival,
  distinct,
  fractionAtWork,
  groupsOf,
  integer,
  isNoisy,
  machineLine,
  milliseconds,
  padlessOf,
  percent,
  ratioToBest,
  times,
} from '../bench/cpu/view.mjs';
import { table } from './markdown.mjs';
import { cudaSection } from './performance-cuda.mjs';
import { tilesSection } from './performance-tiles.mjs';

const root = new URL('..', import.meta.url).pathname;
const NOT_MEASURED = 'Not measured.';

/** Results of a kind, the newest first. */
function newestFirst(results, prefix) {
  const names = existsSync(results)
    ? readdirSync(results).filter((name) => name.startsWith(`${prefix}-`) && name.endsWith('.json'))
    : [];
  const files = names.map((name) => ({ name, data: JSON.parse(readFileSync(join(results, name), 'utf8')) }));
  return files.sort((a, b) => (a.data.started < b.data.started ? 1 : -1));
}

/** Whether the run was held to some of the chip's instructions. */
const isHeld = ({ options: { isa = 'auto' } }) => isa !== 'auto';
const subject = (data) =>
  isHeld(data) ? `${data.machine.cpu}, held to ${data.options.isa}` : data.machine.cpu;

/** The newest results of each processor, and after them those of processors held to less than they have. */
function newestOfEach(files) {
  const newest = distinct(files.map(({ data }) => subject(data))).map((name) =>
    files.find(({ data }) => subject(data) === name),
  );
  return [false, true].flatMap((held) => newest.filter(({ data }) => isHeld(data) === held));
}

function comparison(groups) {
  const isAlone = groups.every((group) => bestRival(group) === undefined);
  return table(
    [
      ...['Workload', 'dtype', 'padless tokens/s', 'ms', 'of the roof', 'at its clock'],
      ...(isAlone ? [] : ['best rival', 'its tokens/s', 'ratio']),
    ],
    groups.map((group) => {
      const [padless, rival] = [padlessOf(group), bestRival(group)];
      const atWork = fractionAtWork(padless);
      return [
        `${group.workload}: ${group.title}${isNoisy(group) ? ' (machine not at full speed)' : ''}`,
        group.dtype,
        integer(padless.tokensPerSecond),
        milliseconds(padless.ms),
        percent(padless.fractionOfRoof),
        atWork === undefined ? 'not measured' : percent(atWork),
        ...(rival
          ? [`${rival.name}, ${rival.mode}`, integer(rival.tokensPerSecond), times(ratioToBest(group))]
          : isAlone
            ? []
            : ['none', '', '']),
      ];
    }),
  );
}

/** Microseconds a token, a row a workload and a column a precision. */
function scaling(groups, head, x) {
  const dtypes = distinct(groups.map(({ dtype }) => dtype));
  const names = distinct(groups.map(({ workload }) => workload));
  return table(
    [head, ...dtypes.map((dtype) => `${dtype}, us a token`)],
    names.map((name) => {
      const row = groups.filter(({ workload }) => workload === name);
      const cell = (group) => (group ? (1e6 / padlessOf(group).tokensPerSecond).toFixed(1) : '');
      return [x(row[0]), ...dtypes.map((dtype) => cell(row.find((group) => group.dtype === dtype)))];
    }),
  );
}

function memory(entries) {
  return table(
    ['Model', 'dtype', 'packed weights MiB', 'peak RSS MiB', 'load ms', 'first result ms'],
    entries.map(({ model, dtype, weightsMiB, peakMiB, loadMs, firstResultMs }) => [
      MODEL_TITLES[model],
      dtype,
      ...[weightsMiB, peakMiB, loadMs, firstResultMs].map(integer),
    ]),
  );
}

/** A section, or that it is not measured. */
const section = (title, groups, render) =>
  `#### ${title}\n\n${groups.length > 0 ? render(groups) : NOT_MEASURED}`;

function cpuSection({ data, name }) {
  const models = distinct(data.groups.map(({ model }) => model));
  const versions = Object.entries(data.versions).map(([rival, version]) => `${rival} ${version}`);
  const absent = Object.entries(data.absent).filter(([, reason]) => reason !== 'not asked for');
  // What a run was held to is a question about products: it need not have every part.
  const part = (title, groups, render) =>
    isHeld(data) && groups.length === 0 ? '' : section(title, groups, render);
  return [
    `### ${subject(data)}`,
    `${machineLine(data)}. Commit ${data.commit.slice(0, 7)}${data.dirty ? ' with changes' : ''}, ` +
      `${data.started.slice(0, 10)}, seed ${data.options.seed}; ${versions.join(', ')}. ` +
      `From [${name}](../bench/results/${name}).`,
    ...(absent.length > 0 ? [`Rivals that were missing: ${absent.map(([rival]) => rival).join(', ')}.`] : []),
    ...models.map((model) => part(MODEL_TITLES[model], groupsOf(data, 'workloads', model), comparison)),
    part('Nothing to unpad: 512 tokens a sequence', groupsOf(data, 'uniform'), comparison),
    part('Against a padded batch', groupsOf(data, 'padded'), comparison),
    part(
      'Cost of a token by the size of the batch (MiniLM shape, sequences of 64)',
      groupsOf(data, 'batch'),
      (groups) => scaling(groups, 'Tokens', ({ tokens }) => integer(tokens)),
    ),
    part('Cost of a token by length (MiniLM shape, 4096 tokens)', groupsOf(data, 'length'), (groups) =>
      scaling(groups, 'Length', ({ tokens, sequences }) => integer(tokens / sequences)),
    ),
    part('Memory and loading', data.memory, memory),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function page(results) {
  const cpus = newestOfEach(newestFirst(results, 'cpu')).map(cpuSection);
  const tiles = tilesSection(newestFirst(results, 'tiles')[0]);
  const sections = [...cpus, tiles].filter(Boolean);
  return `# Performance

Written by \`node scripts/performance-doc.mjs\` from the files in \`bench/results\`; edit neither by hand.

## CPU

\`npm run bench:cpu\` measures this and writes a report with plots; \`-- --help\` says how to install the rivals.

Random weights; real tokens a second; medians of samples that padless and the best modes of the fastest rivals took in turn. The roof is what registers alone reach on the same threads, measured around each sample while the machine rests; only operations on real tokens count towards it. That of f32 is the roof of fused multiply-adds, which padless can pass on a chip with AMX: there batches multiply fp32 as six products of bf16 tiles. "At its clock" is the share of the roof measured within the milliseconds after the sample, before a chip that lowers its clock under vector work has raised it again. A processor that is held to avx512 computes as one without AMX, padless alone, since rivals take what the chip has.

${sections.length > 0 ? sections.join('\n\n') : NOT_MEASURED}

## CUDA

\`scripts/verify-gpu.sh\` measures this on any machine with an NVIDIA GPU.

${cudaSection(newestFirst(results, 'gpu')[0])}
`;
}

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    results: { type: 'string', default: join(root, 'bench/results') },
    output: { type: 'string', default: join(root, 'docs/performance.md') },
  },
});
const text = page(values.results);
if (!values.check) writeFileSync(values.output, text);
else if (!existsSync(values.output) || readFileSync(values.output, 'utf8') !== text) {
  console.error(`${values.output} is not what bench/results say: run node scripts/performance-doc.mjs`);
  process.exitCode = 1;
}
