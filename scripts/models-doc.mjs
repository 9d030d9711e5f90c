#!/usr/bin/env node
// Writes docs/models.md: what test/device measured on this machine's devices. No error on that page is typed.
//   node scripts/models-doc.mjs                      runs the suites, a few minutes, and writes the page
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

/** Published kinds that are not supported, and the field that the error names. */
const REFUSED = [
  ['Qwen2 (mxbai-rerank v2, gte-Qwen2)', '`model_type`'],
  ['JinaBERT with norms of queries and keys (jina-embeddings-v2-base-code)', '`auto_map`'],
  ["NomicBERT with its own code's dynamic scaling", '`rotary_scaling_factor`'],
  ['Decoders that attend both ways, but for EmbeddingGemma', '`is_causal`, `use_bidirectional_attention`'],
  ['Heads that only pretraining uses (ELECTRA discriminators); the encoder can be used', '`architectures`'],
  ['Masked language models in the layout of DeBERTa that is not legacy; the encoder can be used', '`legacy`'],
  ['Dense modules with a residual', '`use_residual`'],
];

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
    const suites = ['encoder', 'heads', 'precision'].map((name) => `test/device/${name}.test.ts`);
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

const readJson = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));

/** The fixtures by name, with what they are of and what their precisions cost elsewhere. */
function readFixtures() {
  const errorsOf = (dtype) => readJson(root, `test/goldens/${dtype}_errors.json`).errors;
  const [int8, fp8] = [errorsOf('int8'), errorsOf('fp8')];
  const found = new Map();
  for (const name of readdirSync(models)) {
    const { model_type: modelType, architectures } = readJson(models, name, 'checkpoint/config.json');
    const cases = readJson(models, name, 'cases.json');
    const elsewhere = {
      bf16: cases.transformersBfloat16Error,
      f16: cases.transformersFloat16Error,
      int8: int8[name] ?? {},
      fp8: fp8[name] ?? {},
    };
    found.set(name, { name, modelType, className: architectures?.[0] ?? '', task: cases.task, elsewhere });
  }
  return found;
}

const scientific = (error) => error.toExponential(0);

/** The worst error in f32 of some fixtures on a device. */
function exactCell(lines, device) {
  const errors = lines.filter((line) => line.dtype === 'f32' && line.device === device);
  return errors.length > 0 ? scientific(Math.max(...errors.map(({ error }) => error))) : '';
}

/** The worst error of some fixtures in a lower precision, and the worst ratio to what it costs elsewhere. */
function reducedCell(lines, fixtures, { dtype, isOn }) {
  const found = lines.filter((line) => line.dtype === dtype && isOn(line.device));
  if (found.length === 0) return '';
  const ratios = found.flatMap(({ fixture, output, error }) => {
    const elsewhere = fixtures.get(fixture).elsewhere[dtype][output];
    return elsewhere === undefined ? [] : [error / elsewhere];
  });
  const ratio = ratios.length > 0 ? ` (${Math.max(...ratios).toFixed(1)}x)` : '';
  return `${scientific(Math.max(...found.map(({ error }) => error)))}${ratio}`;
}

function groupBy(fixtures, keyOf) {
  const groups = new Map();
  for (const fixture of fixtures)
    groups.set(keyOf(fixture), [...(groups.get(keyOf(fixture)) ?? []), fixture]);
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Two tables of an output, a row for each key of its fixtures: errors in f32 by device, and in other precisions. */
function tables(all, output, fixtures, { keys, keyOf }) {
  const lines = all.filter((line) => line.output === output);
  const devices = [...new Set(all.map(({ device }) => device))].sort();
  const others = devices.filter((device) => !device.startsWith('cpu'));
  const isCpu = (device) => device.startsWith('cpu');
  const reduced = [
    { title: 'bf16, cpu', dtype: 'bf16', isOn: isCpu },
    ...others.flatMap((name) =>
      ['bf16', 'f16', 'fp8'].map((dtype) => ({
        title: `${dtype}, ${name}`,
        dtype,
        isOn: (device) => device === name,
      })),
    ),
    { title: 'int8, cpu', dtype: 'int8', isOn: isCpu },
  ];
  const measured = [...new Set(lines.map(({ fixture }) => fixture))].sort().map((name) => fixtures.get(name));
  const groups = groupBy(measured, keyOf).map(([key, group]) => ({
    key,
    group,
    lines: lines.filter(({ fixture }) => group.some(({ name }) => name === fixture)),
  }));
  const names = (group) => group.map(({ name }) => name).join(', ');
  const exact = groups.map(({ key, group, lines }) => [
    ...keys.map(({ cell }) => cell(key, group)),
    names(group),
    ...devices.map((device) => exactCell(lines, device)),
  ]);
  const lower = groups.map(({ key, lines }) => [
    key,
    ...reduced.map((column) => reducedCell(lines, fixtures, column)),
  ]);
  return `${table([...keys.map(({ title }) => title), 'fixtures', ...devices], exact)}

${table([keys[0].title, ...reduced.map(({ title }) => title)], lower)}`;
}

function page(lines) {
  const fixtures = readFixtures();
  const encoders = {
    keys: [{ title: 'model_type', cell: (type) => type }],
    keyOf: ({ modelType }) => modelType,
  };
  const heads = {
    keys: [
      { title: 'class', cell: (name) => name },
      { title: 'logits of', cell: (_, [{ task }]) => HEADS[task] },
    ],
    keyOf: ({ className }) => className,
  };
  return `# Models

Written by \`scripts/models-doc.mjs\` from what \`test/device\` measures. Every number is a relative L2 error against Hugging Face transformers in float64. \`test/goldens/README.md\` says what the fixtures are.

- The first table of each pair is for f32: the error of the worst sequence of all fixtures of the row. The suites fail at 1e-5.
- The second is for lower precisions: the worst error of a fixture and, in brackets, the worst ratio to what the precision costs elsewhere, transformers in bf16 or f16, onnxruntime's dynamic int8 of the same checkpoint, and e4m3 operands of otherwise float32 products in transformers. The suites fail at 2x, for int8 at 1.1x (at 1.5x for four one-layer heads of 16 columns and for experts, where chance decides) or where the mean of all fixtures is above 1x (for fp8 1.1x). On the CPU it is the worst instruction set.
- \`emulator:0\` is the CUDA engine in the emulator of \`cuda/emulator\`, **not hardware**. Sequences of more than 150 tokens run there for one fixture only.
- Empty: not run on that device.

## Checkpoints

\`test/unit/published.test.ts\` reads the files of these published directories (\`test/goldens/published.json\`) and says what is computed, or which field is refused: ${Object.keys(readJson(root, 'test/goldens/published.json')).sort().join(', ')}; and all 24 compact BERTs. A directory of pickles is refused until \`scripts/convert-checkpoint.py\` has converted it.

${table(['refused', 'by'], REFUSED)}

## Encoders, by \`model_type\`

${tables(lines, 'last_hidden_state', fixtures, encoders)}

## Heads, by the class in \`architectures\`

${tables(lines, 'logits', fixtures, heads)}
`;
}

const { values } = parseArgs({ options: { measured: { type: 'string' }, output: { type: 'string' } } });
const text = values.measured ? readFileSync(values.measured, 'utf8') : measure();
const lines = text
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line));
writeFileSync(values.output ?? join(root, 'docs/models.md'), page(lines));
