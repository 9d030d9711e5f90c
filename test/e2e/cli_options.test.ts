// Flags that several commands share: long texts in chunks, and the directory of packed weights.
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Classifier } from '../../ts/tasks/classifier';
import { Embedder } from '../../ts/tasks/embedder';
import { Reranker } from '../../ts/tasks/reranker';
import { makeChain } from '../support/chains';
import { padless } from '../support/command_line';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { makeTask } from '../support/tasks';

const scratch = scratchDirectory();
const folder = (name: string) => join(scratch, name);
const long = 'the river wanders and the old clock waits by the harbour '.repeat(30);

beforeAll(() => {
  makeChain('max-length', folder('embedder'));
  makeTask('classify-one-of', folder('classifier'));
  makeTask('rerank-identity', folder('reranker'));
  makeTask('entities-bert', folder('entities'));
  makeTask('masks-bert', folder('masks'));
  makeTask('questions-bert', folder('questions'));
  writeFileSync(folder('ids.json'), '{"sequences": [[1, 2, 3]]}');
});

function json(...args: string[]): unknown {
  const { status, stdout, stderr } = padless([...args, '--json']);
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

test('embed --chunk, with and without stride and pooling', async () => {
  await using embedder = await Embedder.load(folder('embedder'));
  for (const [flags, chunks] of [
    [['--chunk'], true],
    [['--stride', '3'], { stride: 3 }],
    [['--chunk', '--stride', '2', '--chunk-pooling', 'max'], { stride: 2, pooling: 'max' }],
    [['--chunk-pooling', 'max'], { pooling: 'max' }],
    [[], false],
  ] as const) {
    const { embeddings } = json('embed', '-m', folder('embedder'), long, 'short', ...flags) as {
      embeddings: number[][];
    };
    const expected = await embedder.embed([long, 'short'], { chunks });
    expect(embeddings.map((row) => Float32Array.from(row))).toEqual([...expected]);
  }
});

test('classify --chunk', async () => {
  await using classifier = await Classifier.load(folder('classifier'));
  const args = ['classify', '-m', folder('classifier'), '--top-k', '9', long];
  const read = (...flags: string[]) => json(...args, ...flags) as { labels: object[] }[];
  expect(read('--stride', '5', '--chunk-pooling', 'max')[0]!.labels).toEqual(
    (await classifier.classify(long, { chunks: { stride: 5, pooling: 'max' } }))[0],
  );
  expect(read('--chunk')[0]!.labels).toEqual((await classifier.classify(long, { chunks: true }))[0]);
  expect(read('--chunk')).not.toEqual(read());
});

test('rerank --chunk', async () => {
  await using reranker = await Reranker.load(folder('reranker'));
  const args = ['rerank', '-m', folder('reranker'), 'when?', long, 'short'];
  expect(json(...args, '--chunk')).toEqual(await reranker.rank('when?', [long, 'short'], { chunks: true }));
  expect(json(...args, '--stride', '4', '--chunk-pooling', 'mean')).toEqual(
    await reranker.rank('when?', [long, 'short'], { chunks: { stride: 4, pooling: 'mean' } }),
  );
});

describe.each(['embed', 'classify', 'rerank'])('%s', (command) => {
  test.each([
    ['both chunks and a refusal', ['--chunk', '--no-truncate']],
    ['a stride and a refusal', ['--stride', '3', '--no-truncate']],
    ['a stride that is no number', ['--stride', 'many']],
    ['a negative stride', ['--stride', '-1']],
    ['an unknown pooling', ['--chunk-pooling', 'sum']],
  ])('%s is wrong usage', (_name, flags) => {
    const { status, stdout, stderr } = padless([command, '-m', folder('embedder'), 'a', 'b', ...flags]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(flags.at(-1) === '--no-truncate' ? '--no-truncate' : flags[0]);
  });

  test('a stride beyond the limit is an error with a code', () => {
    const model = folder(
      command === 'embed' ? 'embedder' : command === 'classify' ? 'classifier' : 'reranker',
    );
    const { status, stderr } = padless([command, '-m', model, '--stride', '4000', 'a', 'b']);
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/^error E_INVALID_ARGUMENT: .*stride of 4000/),
    ]);
  });
});

describe('--cache-dir', () => {
  test.each<[string, string[]]>([
    ['embed', ['-m', 'embedder', 'a']],
    ['classify', ['-m', 'classifier', 'a']],
    ['rerank', ['-m', 'reranker', 'a', 'b']],
    ['ner', ['-m', 'entities', 'a']],
    ['fill-mask', ['-m', 'masks', 'a [MASK]']],
    ['answer', ['-m', 'questions', 'who?', 'a river']],
    ['run', ['-m', 'embedder', '-i', 'ids.json', '-o', 'out.safetensors']],
    ['bench', ['-m', 'embedder', '--sequences', '2', '--rounds', '1']],
    ['demo', ['-m', 'embedder']],
    ['inspect', ['embedder', '--quantization', 'a text']],
  ])('%s keeps packed weights there and reads them', (command, args) => {
    const cache = join(scratch, `cache-${command}`);
    const words = args.map((arg) =>
      existsSync(folder(arg)) || arg === 'out.safetensors' ? folder(arg) : arg,
    );
    const run = () => padless([command, ...words, '--cache-dir', cache]);
    const first = run();
    expect([first.status, first.stderr]).toEqual([0, '']);
    const files = readdirSync(cache);
    expect(files.length).toBe(command === 'inspect' ? 3 : 1);
    const again = run();
    expect(again.status).toBe(0);
    if (!['run', 'bench', 'demo'].includes(command)) expect(again.stdout).toBe(first.stdout);
    expect(readdirSync(cache)).toEqual(files);
    rmSync(cache, { recursive: true });
  });

  test('an empty path, and weights that nothing loads', () => {
    for (const args of [
      ['embed', '-m', folder('embedder'), 'a', '--cache-dir', ''],
      ['inspect', folder('embedder'), '--cache-dir', folder('cache')],
    ]) {
      const { status, stderr } = padless(args);
      expect([status, stderr]).toEqual([2, expect.stringMatching(/^error E_INVALID_ARGUMENT: .*cache/i)]);
    }
  });
});

describe('inspect says what the directory’s task would run', () => {
  test.each<[string, object]>([
    ['splade', { task: 'SparseEncoder', vectors: { kind: 'logits', logs: 1 }, queries: 'as documents' }],
    ['splade-router', { task: 'SparseEncoder', vectors: { logs: 2 }, queries: 'looked up by token' }],
    [
      'colbert-pylate',
      {
        task: 'LateInteraction',
        dimensions: 12,
        query: { marker: '[Q] ', expansion: { length: 14, fixed: true, attend: false } },
        document: { marker: '[D] ', maxLength: 25, skippedTokens: 32 },
      },
    ],
    ['colbert-stanford', { task: 'LateInteraction', dimensions: 12, document: { maxLength: 28 } }],
    ['multi-vector', { task: 'LateInteraction', document: { marker: 'a text: ', skippedTokens: 2 } }],
  ])('%s', (name, model) => {
    makeRetrieval(name, folder(name));
    expect(json('inspect', folder(name))).toMatchObject({ model: { ...model, hiddenSize: 16 } });
    expect(padless(['inspect', folder(name)]).stdout).toMatch(/^task +(Sparse|Late)/m);
  });
});

describe('--file', () => {
  test('with a byte order mark and ends of lines as Windows has them', () => {
    writeFileSync(folder('windows.txt'), '\ufeffthe river\r\n\r\nthe clock\r\n');
    const read = json('classify', '-m', folder('classifier'), '-f', folder('windows.txt')) as {
      text: string;
    }[];
    expect(read.map(({ text }) => text)).toEqual(['the river', 'the clock']);
    const whole = ['answer', '-m', folder('questions'), 'who?', '-f', folder('windows.txt')];
    expect(json(...whole)).toEqual(
      json('answer', '-m', folder('questions'), 'who?', 'the river\r\n\r\nthe clock\r\n'),
    );
  });

  test.each<[string, Buffer]>([
    ['UTF-16', Buffer.from('\ufeffthe river', 'utf16le')],
    ['UTF-16 without a byte order mark', Buffer.from('the river', 'utf16le')],
    ['Latin-1', Buffer.from('the caf\u00e9', 'latin1')],
    ['cut in a character', Buffer.from('the caf\u00e9').subarray(0, -1)],
  ])('what is not UTF-8 is refused, not read as other words: %s', (_name, bytes) => {
    const file = folder('encoded.txt');
    writeFileSync(file, bytes);
    for (const args of [
      ['classify', '-m', folder('classifier'), '-f', file],
      ['answer', '-m', folder('questions'), 'who?', '-f', file],
      ['run', '-m', folder('embedder'), '-i', file, '-o', folder('never.safetensors')],
    ]) {
      const { status, stdout, stderr } = padless(args);
      expect([status, stdout]).toEqual([2, '']);
      expect(stderr).toContain('encoded.txt is no text in UTF-8');
    }
  });

  test('an empty context is none, and ids may follow a byte order mark', () => {
    writeFileSync(folder('empty.txt'), '\ufeff\n');
    const { status, stderr } = padless([
      'answer',
      '-m',
      folder('questions'),
      'who?',
      '-f',
      folder('empty.txt'),
    ]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('There is no context')]);
    writeFileSync(folder('marked.json'), '\ufeff{"sequences": [[5, 6]]}');
    const output = folder('marked.safetensors');
    expect(padless(['run', '-m', folder('embedder'), '-i', folder('marked.json'), '-o', output])).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('lines end anywhere in what is read at once', () => {
    const lines = Array.from({ length: 1500 }, (_, i) => (i % 7 === 0 ? '河' : 'a').repeat(90 + (i % 5)));
    const ends = ['\n', '\r\n', '\r', '\u2028'];
    writeFileSync(folder('many.txt'), lines.map((line, i) => line + ends[i % ends.length]!).join(''));
    const read = json('classify', '-m', folder('classifier'), '-f', folder('many.txt')) as { text: string }[];
    expect(read.map(({ text }) => text)).toEqual(lines);
  });

  test.each(['classify', 'answer'])('%s refuses a directory', (command) => {
    const model = folder(command === 'classify' ? 'classifier' : 'questions');
    const words = command === 'answer' ? ['who?'] : [];
    const { status, stderr } = padless([command, '-m', model, ...words, '-f', scratch]);
    expect([status, stderr]).toEqual([1, expect.stringContaining('E_NOT_FOUND')]);
    expect(stderr).toContain(scratch);
  });
});

test('--pooling takes one mode each time, so that a text may follow', () => {
  rmSync(join(folder('embedder'), 'modules.json'));
  const read = (...args: string[]) =>
    json('embed', '-m', folder('embedder'), ...args) as { dimensions: number };
  const { dimensions } = read('--pooling', 'mean', 'a text');
  expect(read('--pooling', 'mean', '--pooling', 'cls', 'a text').dimensions).toBe(2 * dimensions);
  expect(padless(['embed', '-m', folder('embedder'), '--pooling', 'sum', 'a text'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--pooling'),
  });
});
