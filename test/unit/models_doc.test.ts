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

test('the script takes the worst error of a row, by device', () => {
  const measured = [
    { fixture: 'bert', output: 'last_hidden_state', device: 'cpu, a', error: 2e-7 },
    { fixture: 'bert-relu', output: 'last_hidden_state', device: 'cpu, a', error: 4e-7 },
    { fixture: 'bert', output: 'last_hidden_state', device: 'gpu', error: 1e-6 },
    { fixture: 'bert-token', output: 'logits', device: 'gpu', error: 3e-7 },
  ];
  const [input, output] = [join(scratch, 'measured.jsonl'), join(scratch, 'models.md')];
  writeFileSync(input, measured.map((line) => JSON.stringify(line)).join('\n'));
  const script = join(root, 'scripts/models-doc.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, '--measured', input, '--output', output], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const page = readFileSync(output, 'utf8');
  expect(page).toContain('| bert | bert, bert-relu | 4e-7 | 1e-6 |');
  expect(page).toContain('| BertForTokenClassification | token classification | bert-token |  | 3e-7 |');
});
