// The command line's tables and JSON for task heads.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '../../ts/io/safetensors';
import { padless } from '../support/command_line';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';
import { makeTask } from '../support/tasks';

const scratch = scratchDirectory();

/** The model directory of a fixture and its cases. */
function fixture<Case>(name: string): { model: string; cases: Case[] } {
  const model = join(scratch, name);
  return { model, cases: makeTask<Case>(name, model) };
}

/** What a command prints with --json, and without. */
function outputs(args: string[], input = ''): { json: unknown; table: string[][] } {
  const json = padless([...args, '--json'], input);
  const table = padless(args, input);
  expect([json.status, json.stderr, table.status, table.stderr]).toEqual([0, '', 0, '']);
  const rows = table.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/));
  return { json: JSON.parse(json.stdout), table: rows };
}

test('classify', () => {
  const { model, cases } = fixture<{
    text: string;
    pair?: string;
    scores: { label: string; score: number }[];
  }>('classify-one-of');
  const [first] = cases;
  const { json, table } = outputs(['classify', '-m', model, '--top-k', '2', first!.text]);
  const labels = first!.scores.slice(0, 2).map(({ label, score }) => ({
    label,
    score: expect.closeTo(score, 5) as number,
  }));
  expect(json).toEqual([{ text: first!.text, labels }]);
  expect(table[0]).toEqual(['text', 'label', 'score']);
  expect(table[1]).toEqual([first!.text, labels[0]!.label, first!.scores[0]!.score.toFixed(4)]);
  const pair = cases.find((one) => one.pair !== undefined && one.text !== '')!;
  const paired = outputs(['classify', '-m', model, '--pair', pair.pair!, pair.text, '--top-k', '1']);
  expect(paired.json).toMatchObject([{ pair: pair.pair, labels: [{ label: pair.scores[0]!.label }] }]);
});

test('rerank, documents from standard input', () => {
  const { model, cases } = fixture<{ query: string; documents: string[]; scores: number[] }>(
    'rerank-default',
  );
  const { query, documents, scores } = cases[0]!;
  const some = [0, 1, 3];
  const order = [...some].sort((a, b) => scores[b]! - scores[a]!);
  const input = some.map((i) => documents[i]).join('\n');
  const { json, table } = outputs(['rerank', '-m', model, '--top-n', '2', query, '-f', '-'], input);
  expect(json).toEqual(
    order.slice(0, 2).map((i) => ({
      index: some.indexOf(i),
      score: expect.closeTo(scores[i]!, 5) as number,
      document: documents[i],
    })),
  );
  expect(table[1]).toEqual([
    `${some.indexOf(order[0]!) + 1}`,
    scores[order[0]!]!.toFixed(4),
    documents[order[0]!],
  ]);
});

test('ner', () => {
  const { model, cases } = fixture<{
    text: string;
    aggregation: string;
    entities: { label: string; score: number; start: number; end: number }[];
  }>('entities-bert');
  const { text, entities } = cases.find(({ aggregation }) => aggregation === 'average')!;
  const { json, table } = outputs(['ner', '-m', model, '--aggregation', 'average', text]);
  expect(json).toMatchObject([
    { text, entities: entities.map(({ label, start, end }) => ({ label, start, end })) },
  ]);
  const { label, score, start, end } = entities[0]!;
  expect(table[1]).toEqual(['1', text.slice(start, end), label, score.toFixed(4), `${start}-${end}`]);
});

test('fill-mask', () => {
  const { model, cases } = fixture<{ text: string; masks: { token: string; id: number }[][] }>('masks-bert');
  const { text, masks } = cases[2]!;
  const { json, table } = outputs(['fill-mask', '-m', model, '--top-k', '3', text]);
  expect(json).toMatchObject([{ text, masks: masks.map((one) => one.map(({ id }) => ({ id }))) }]);
  expect(table).toHaveLength(1 + 3 * masks.length);
});

test('answer, with the context in a file', () => {
  const { model } = fixture('questions-bert');
  const file = join(scratch, 'context.txt');
  writeFileSync(file, 'The clock keeper walks along the river.\nThe sea is near.');
  const { json, table } = outputs(['answer', '-m', model, '--top-k', '2', 'who?', '-f', file]);
  const [best] = json as [{ answer: string; score: number; start: number; end: number }];
  expect(best.answer).toBe(readFileSync(file, 'utf8').slice(best.start, best.end));
  expect(table[1]).toEqual([
    best.answer.replace(/\s+/g, ' '),
    best.score.toFixed(4),
    `${best.start}-${best.end}`,
  ]);
  expect(
    outputs(['answer', '-m', model, '--top-k', '2', '--stride', '0', 'who?', '-f', file]).json,
  ).toHaveLength(2);
});

test.each([
  ['classify without a text', ['classify'], 2, 'E_INVALID_ARGUMENT'],
  ['answer without a context', ['answer', 'who?'], 2, 'E_INVALID_ARGUMENT'],
  ['classify on a device that is none', ['classify', 'a', '--device', 'tpu'], 2, 'E_INVALID_ARGUMENT'],
  ['rerank with a file that is not there', ['rerank', 'q', '-f', 'none.txt'], 1, 'E_NOT_FOUND'],
  ['ner on another head', ['ner', 'a'], 1, 'E_UNSUPPORTED'],
])('%s fails', (_name, args, exit, code) => {
  const { model } = fixture('classify-one-of');
  const { status, stderr } = padless([...args, '-m', model]);
  expect(status).toBe(exit);
  expect(stderr).toContain(`error ${code}`);
});

test('run says why a head gives no logits, and writes the rest', () => {
  const golden = readGolden('bert-old-names');
  const [input, output] = [join(scratch, 'old.json'), join(scratch, 'old.safetensors')];
  writeFileSync(input, '{"sequences": [[1, 2, 3]]}');
  const { status, stderr } = padless(['run', '-m', golden.checkpoint, '-i', input, '-o', output]);
  expect(status).toBe(0);
  expect(stderr).toContain('no logits');
  const { tensors } = decodeSafetensors(readFileSync(output));
  expect(Object.keys(tensors).sort()).toEqual(['cu_seqlens', ...golden.outputs].sort());
});
