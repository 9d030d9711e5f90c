#!/usr/bin/env node
// Writes docs/models.md: what test/device measured on this machine's devices. No error on that page is typed.
//   node scripts/models-doc.mjs                      runs the suites, a quarter of an hour, and writes the page
//   node scripts/models-doc.mjs --measured FILE      takes what PADLESS_MEASURED=FILE npx jest test/device has left
//   node scripts/models-doc.mjs --measured FILE --output FILE
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { table } from './markdown.mjs';

const root = new URL('..', import.meta.url).pathname;
const models = join(root, 'test/goldens/models');

const HEADS = {
  sequence: 'sequence classification',
  token: 'token classification',
  question: 'question answering',
  'masked-lm': 'masked language model',
  'causal-lm': 'language model',
};

function measure() {
  const folder = mkdtempSync(join(tmpdir(), 'padless-models-'));
  try {
    const file = join(folder, 'measured.jsonl');
    const suites = ['test/device/encoder.test.ts', 'test/device/heads.test.ts'];
    const { status } = spawnSync('npx', ['jest', ...suites], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, PADLESS_MEASURED: file },
    });
    if (status !== 0) throw new Error('The suites fail: nothing is written.');
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The fixtures by name, with what they are of. */
function readFixtures() {
  const found = new Map();
  for (const name of readdirSync(models)) {
    const read = (file) => JSON.parse(readFileSync(join(models, name, file), 'utf8'));
    const { model_type: modelType, architectures } = read('checkpoint/config.json');
    found.set(name, { name, modelType, className: architectures?.[0] ?? '', task: read('cases.json').task });
  }
  return found;
}

const scientific = (error) => (error === undefined ? '' : error.toExponential(0));

/** The worst error of an output by fixture and device. */
function worst(lines, output) {
  const errors = new Map();
  for (const { fixture, device, error, output: measured } of lines) {
    if (measured !== output) continue;
    const devices = errors.get(fixture) ?? new Map();
    errors.set(fixture, devices.set(device, Math.max(error, devices.get(device) ?? 0)));
  }
  return errors;
}

/** The worst error over some fixtures, by device. */
function cells(errors, fixtures, devices) {
  return devices.map((device) => {
    const found = fixtures
      .map(({ name }) => errors.get(name)?.get(device))
      .filter((error) => error !== undefined);
    return scientific(found.length > 0 ? Math.max(...found) : undefined);
  });
}

function groupBy(fixtures, keyOf) {
  const groups = new Map();
  for (const fixture of fixtures)
    groups.set(keyOf(fixture), [...(groups.get(keyOf(fixture)) ?? []), fixture]);
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

function page(lines) {
  const fixtures = readFixtures();
  const devices = [...new Set(lines.map(({ device }) => device))].sort();
  const [hidden, logits] = [worst(lines, 'last_hidden_state'), worst(lines, 'logits')];
  const measured = (errors) => [...errors.keys()].sort().map((name) => fixtures.get(name));
  const families = groupBy(measured(hidden), ({ modelType }) => modelType);
  const heads = groupBy(measured(logits), ({ className }) => className);
  return `# Models

Written by \`scripts/models-doc.mjs\` from what \`test/device\` measures. A number is the relative L2 error in f32 against Hugging Face transformers in float64, that of the worst sequence of all fixtures of the row; the suites fail at 1e-5. Empty: not run on that device. \`test/goldens/README.md\` says what the fixtures are.

## Encoders, by \`model_type\`

${table(
  ['model_type', 'fixtures', ...devices],
  families.map(([type, group]) => [
    type,
    group.map(({ name }) => name).join(', '),
    ...cells(hidden, group, devices),
  ]),
)}

## Heads, by the class in \`architectures\`

${table(
  ['class', 'logits of', 'fixtures', ...devices],
  heads.map(([name, group]) => [
    name,
    HEADS[group[0].task],
    group.map((fixture) => fixture.name).join(', '),
    ...cells(logits, group, devices),
  ]),
)}
`;
}

const { values } = parseArgs({ options: { measured: { type: 'string' }, output: { type: 'string' } } });
const text = values.measured ? readFileSync(values.measured, 'utf8') : measure();
const lines = text
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line));
writeFileSync(values.output ?? join(root, 'docs/models.md'), page(lines));
