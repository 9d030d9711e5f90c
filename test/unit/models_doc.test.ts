// docs/models.md is what scripts/models-doc.mjs writes, and leaves out nothing that is tested.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelTypes } from '../../ts/models/families';
import { root } from '../support/child';
import { goldenNames, readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();

test('docs/models.md names every family and every fixture', () => {
  const page = readFileSync(join(root, 'docs/models.md'), 'utf8');
  const [encoders, heads] = page.split('## Heads') as [string, string];
  const names = (text: string) => new Set(text.match(/[\w-]+/g));
  const [inEncoders, inHeads] = [names(encoders), names(heads)];
  const fixtures = goldenNames(modelTypes);
  expect(fixtures.filter((name) => !inEncoders.has(name))).toEqual([]);
  const withHeads = fixtures.filter((name) => readGolden(name).outputs.includes('logits'));
  expect(withHeads.filter((name) => !inHeads.has(name))).toEqual([]);
});

test('the script takes the worst errors and ratios of a row, by device', () => {
  const of = (
    fixture: string,
    device: string,
    dtype: string,
    error: number,
    output = 'last_hidden_state',
  ) => ({
    fixture,
    output,
    device,
    dtype,
    error,
  });
  const { transformersBfloat16Error: bf16 } = readGolden('bert-relu');
  const measured = [
    of('bert', 'cpu, a', 'f32', 2e-7),
    of('bert-relu', 'cpu, a', 'f32', 4e-7),
    of('bert', 'gpu', 'f32', 1e-6),
    of('bert', 'cpu, a', 'bf16', 1e-9),
    of('bert-relu', 'cpu, b', 'bf16', 1.5 * bf16['last_hidden_state']!),
    of('bert-token', 'gpu', 'f32', 3e-7, 'logits'),
  ];
  const [input, output] = [join(scratch, 'measured.jsonl'), join(scratch, 'models.md')];
  writeFileSync(input, measured.map((line) => JSON.stringify(line)).join('\n'));
  const script = join(root, 'scripts/models-doc.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, '--measured', input, '--output', output], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const page = readFileSync(output, 'utf8');
  expect(page).toContain('| bert | bert, bert-relu | 4e-7 |  | 1e-6 |');
  const worst = (1.5 * bf16['last_hidden_state']!).toExponential(0);
  expect(page).toContain('| model_type | bf16, cpu | bf16, gpu | f16, gpu | fp8, gpu | int8, cpu |');
  expect(page).toContain(`| bert | ${worst} (1.5x) |  |  |  |  |`);
  expect(page).toContain('| BertForTokenClassification | token classification | bert-token |  |  | 3e-7 |');
});
