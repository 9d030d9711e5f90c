// The HTML report of a results file: plots and tables in one file without scripts.
import { writeFileSync } from 'node:fs';
import { barChart, escapeText, lineChart } from './plots.mjs';
import {
  DTYPES,
  MODEL_TITLES,
  bestRival,
  distinct,
  groupsOf,
  integer,
  isNoisy,
  machineLine,
  padlessOf,
  percent,
  ratioToBest,
  times,
} from './view.mjs';

const STYLE = `body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .7rem; border-bottom: 1px solid #d0d7de; text-align: right }
td:first-child, th:first-child { text-align: left } svg { max-width: 100%; height: auto; margin: .5rem 1rem .5rem 0 }`;

function table(head, rows) {
  const cells = (row, tag) => row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('');
  return `<table><tr>${cells(head, 'th')}</tr>${rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')}</table>`;
}

/** padless and its best rival in tokens a second, and padless's share of the roof, for one model. */
function workloadPlots(groups, model) {
  const names = distinct(groups.map(({ workload }) => workload));
  const dtypes = DTYPES.filter((dtype) => groups.some((group) => group.dtype === dtype));
  const find = (workload, dtype) =>
    groups.find((group) => group.workload === workload && group.dtype === dtype);
  const series = dtypes.flatMap((dtype) => [`padless ${dtype}`, `best rival ${dtype}`]);
  const entries = names.map((workload) =>
    dtypes.flatMap((dtype) => {
      const group = find(workload, dtype);
      return group ? [padlessOf(group), bestRival(group)] : [undefined, undefined];
    }),
  );
  const title = MODEL_TITLES[model];
  const note = (g, s) =>
    `${entries[g][s].name} ${entries[g][s].mode}: ${integer(entries[g][s].tokensPerSecond)}`;
  const bars = (read) =>
    names.map((label, g) => ({ label, values: entries[g].map((entry) => entry && read(entry)) }));
  return (
    barChart({
      title: `${title}: real tokens a second`,
      series,
      groups: bars((e) => e.tokensPerSecond),
      format: integer,
      note,
    }) +
    barChart({
      title: `${title}: share of the roof`,
      series,
      groups: bars((e) => e.fractionOfRoof),
      format: percent,
      note,
      largest: 1,
    })
  );
}

/** A line a precision: `read(group)` over `x(group)`. */
function scalingPlot(data, part, { title, xLabel, x, read, format }) {
  const groups = groupsOf(data, part);
  const series = DTYPES.map((dtype) => ({
    name: `padless ${dtype}`,
    points: groups.filter((group) => group.dtype === dtype).map((group) => [x(group), read(group)]),
  })).filter(({ points }) => points.length > 0);
  return series.length > 0 ? lineChart({ title, series, xLabel, format }) : '';
}

const microseconds = (group) => 1e6 / padlessOf(group).tokensPerSecond;

function summaryTable(groups) {
  return table(
    ['', 'padless tokens/s', 'of the roof', 'best rival', 'tokens/s', 'of the roof', 'ratio', ''],
    groups.map((group) => {
      const [padless, rival] = [padlessOf(group), bestRival(group)];
      const of = (entry) => [integer(entry.tokensPerSecond), percent(entry.fractionOfRoof)];
      return [
        `${group.dtype} ${group.workload}: ${group.title}`,
        ...of(padless),
        ...(rival
          ? [`${rival.name}, ${rival.mode}`, ...of(rival), times(ratioToBest(group))]
          : ['none', '', '', '']),
        isNoisy(group) ? 'no sample at full speed' : '',
      ];
    }),
  );
}

/** Every contestant and mode, with its qualifying result and its distance from the reference. */
function detailTable(groups) {
  return table(
    [
      '',
      'contestant',
      'mode',
      'qualifying tokens/s',
      'median ms',
      'samples kept',
      'cosine',
      'relative error',
    ],
    groups.flatMap((group) =>
      group.contestants.map((entry) => [
        group.key,
        entry.name,
        entry.mode,
        entry.qualifyingTokensPerSecond ? integer(entry.qualifyingTokensPerSecond) : '',
        entry.failure ?? (entry.ms ? entry.ms.toFixed(2) : ''),
        entry.samples ? `${entry.keptSamples} of ${entry.samples.length}` : '',
        entry.agreement ? entry.agreement.cosine.toFixed(6) : '',
        entry.agreement ? entry.agreement.relativeError.toExponential(1) : '',
      ]),
    ),
  );
}

function memoryTable(memory) {
  return table(
    ['', 'weights MiB', 'peak MiB', 'load ms', 'first result ms'],
    memory.map((entry) => [
      `${entry.model} ${entry.dtype}`,
      ...['weightsMiB', 'peakMiB', 'loadMs', 'firstResultMs'].map((key) => integer(entry[key])),
    ]),
  );
}

function body(data) {
  const models = distinct(data.groups.map(({ model }) => model));
  const compared = (model) =>
    ['workloads', 'padded', 'uniform'].flatMap((part) => groupsOf(data, part, model));
  const sections = models.map((model) => {
    const groups = groupsOf(data, 'workloads', model);
    return `<h2>${MODEL_TITLES[model]}</h2>${groups.length > 0 ? workloadPlots(groups, model) : ''}${summaryTable(compared(model))}`;
  });
  const scaling =
    scalingPlot(data, 'batch', {
      title: 'Cost of a token by tokens in the batch (sequences of 64)',
      xLabel: 'tokens',
      x: ({ tokens }) => tokens,
      read: microseconds,
      format: (value) => `${value.toFixed(0)} us`,
    }) +
    scalingPlot(data, 'length', {
      title: 'Cost of a token by length of the sequences (4096 tokens)',
      xLabel: 'length',
      x: ({ tokens, sequences }) => tokens / sequences,
      read: microseconds,
      format: (value) => `${value.toFixed(0)} us`,
    });
  const absent = Object.entries(data.absent).map(
    ([name, reason]) => `<li>${name}: ${escapeText(reason)}</li>`,
  );
  const versions = Object.entries(data.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  return [
    '<h1>padless on the CPU</h1>',
    `<p>${escapeText(machineLine(data))}.<br>Commit ${data.commit}${data.dirty ? ' with changes' : ''}, ${data.started}, seed ${data.options.seed}.<br>${escapeText(versions)}.</p>`,
    '<p>Medians of samples taken in turn; a sample counts when the machine was at full speed before and after it. The roof is what registers alone reach on the same threads; only operations on real tokens count.</p>',
    ...sections,
    scaling && `<h2>Scaling, MiniLM shape</h2>${scaling}`,
    data.memory.length > 0 ? `<h2>Memory and loading</h2>${memoryTable(data.memory)}` : '',
    absent.length > 0 ? `<h2>Not measured</h2><ul>${absent.join('')}</ul>` : '',
    `<h2>All results</h2>${detailTable(data.groups)}`,
  ].join('\n');
}

/** Writes the report; returns its path. */
export function writeReport(data, path) {
  const html = `<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>padless on the CPU</title>\n<style>${STYLE}</style>\n${body(data)}\n</html>\n`;
  writeFileSync(path, html);
  return path;
}
