import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIds } from '../../ts/cli/ids_file';
import { isNeeded, pull } from '../../ts/cli/pull';
import { clip, table } from '../../ts/cli/table';
import { root } from '../support/child';

describe('parseIds', () => {
  const limits = { vocabSize: 10, tokenTypes: 2, maxLength: 4 };

  test('reads sequences and token types', () => {
    const { sequences, tokenTypes } = parseIds(
      '{"sequences": [[1, 2], []], "tokenTypes": [[0, 1], []]}',
      limits,
    );
    expect(sequences.map((ids) => [...ids])).toEqual([[1, 2], []]);
    expect(tokenTypes!.map((types) => [...types])).toEqual([[0, 1], []]);
  });

  test.each([
    ['no JSON', '{', 'E_INVALID_ARGUMENT', '--input'],
    ['an array', '[]', 'E_INVALID_ARGUMENT', '--input'],
    ['no sequences', '{}', 'E_INVALID_ARGUMENT', 'sequences'],
    ['another key', '{"sequences": [], "mask": []}', 'E_INVALID_ARGUMENT', 'mask'],
    ['a sequence that is none', '{"sequences": [1]}', 'E_INVALID_ARGUMENT', 'sequences[0]'],
    ['a negative id', '{"sequences": [[1, -1]]}', 'E_INVALID_ARGUMENT', 'sequences[0][1]'],
    ['an id beyond the vocabulary', '{"sequences": [[], [10]]}', 'E_INVALID_ARGUMENT', 'sequences[1][0]'],
    ['a fraction', '{"sequences": [[0.5]]}', 'E_INVALID_ARGUMENT', 'sequences[0][0]'],
    ['a string', '{"sequences": [["1"]]}', 'E_INVALID_ARGUMENT', 'sequences[0][0]'],
    ['too many tokens', '{"sequences": [[1, 2, 3, 4, 5]]}', 'E_TOO_LONG', 'sequences[0]'],
    ['types of another count', '{"sequences": [[1]], "tokenTypes": []}', 'E_INVALID_ARGUMENT', 'tokenTypes'],
    [
      'types of another length',
      '{"sequences": [[1]], "tokenTypes": [[]]}',
      'E_INVALID_ARGUMENT',
      'tokenTypes[0]',
    ],
    [
      'a type out of range',
      '{"sequences": [[1]], "tokenTypes": [[2]]}',
      'E_INVALID_ARGUMENT',
      'tokenTypes[0][0]',
    ],
  ])('%s is refused', (_name, text, code, field) => {
    expect(() => parseIds(text, limits)).toThrow(
      expect.objectContaining({ name: 'PadlessError', code, field }),
    );
  });
});

test.each([
  ['config.json', true],
  ['model.safetensors', true],
  ['model-00001-of-00003.safetensors', true],
  ['1_Pooling/config.json', true],
  ['2_Dense/model.safetensors', true],
  ['colbert_linear.pt', true],
  ['0_Router/query_0_SparseStaticEmbedding/model.safetensors', true],
  ['sentence_bert_config.json', true],
  ['pytorch_model.bin', false],
  ['onnx/model.onnx', false],
  ['openvino/config.json', false],
  ['../config.json', false],
  ['a/1_Pooling/config.json', false],
])('pull of %s: %p', (path, expected) => expect(isNeeded(path)).toBe(expected));

test('pull brings every file that a fixture has', () => {
  const paths = ['models', 'retrieval'].flatMap((group) =>
    (readdirSync(join(root, 'test/goldens', group), { recursive: true }) as string[]).flatMap((path) => {
      const inside = /\/checkpoint\/(.+\.\w+)$/.exec(path)?.[1];
      return inside === undefined || inside === 'vocab.txt' ? [] : [inside];
    }),
  );
  expect(new Set(paths).size).toBeGreaterThan(20);
  expect(paths.filter((path) => !isNeeded(path))).toEqual([]);
});

test('table aligns numbers right and text left', () => {
  expect(
    table([
      ['a', 'n'],
      ['bcd', 5],
      ['e', 12],
    ]),
  ).toBe('a     n\nbcd   5\ne    12\n');
  expect(clip('one\n two  three', 8)).toBe('one two…');
  expect(clip('red \x1b[31m text\x07, \u202etxet', 40)).toBe('red [31m text , txet');
  expect(clip('abc👍👍', 5)).toBe('abc…');
});

test.each([
  ['CJK', '河流的水', 8, 6, '河流…'],
  ['letters of half width', 'ｶﾜｶﾜ', 4, 3, 'ｶﾜ…'],
  ['emoji', '👩‍👩‍👧🇩🇪👍', 6, 5, '👩‍👩‍👧🇩🇪…'],
  ['signs that are emoji', '☃️❤️1️⃣', 6, 5, '☃️❤️…'],
  ['marks on letters', 'e\u0301a\u0323o\u0302', 3, 2, 'e\u0301…'],
  ['Thai', 'ก็ดี', 2, 1, '…'],
])('a table counts the columns of %s', (_name, text, columns, limit, clipped) => {
  const ruler = 'x'.repeat(columns);
  expect(table([[text], [ruler]].map((row) => [...row, '|']))).toBe(`${text}  |\n${ruler}  |\n`);
  expect([clip(text, columns), clip(text, limit)]).toEqual([text, clipped]);
});

describe('pull', () => {
  const files: Record<string, Buffer> = {
    'config.json': Buffer.from('{}'),
    'model.safetensors': Buffer.from('w'.repeat(50_000)),
    'README.md': Buffer.from('# not read'),
  };
  const ranges: string[] = [];
  let server: Server;
  let hub: string;
  let scratch: string;
  let oid = '';

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = request.url!.split('?')[0]!;
      if (path.startsWith('/api/')) {
        const entries = Object.entries(files).map(([name, data]) => ({
          type: 'file',
          path: name,
          size: data.length,
          ...(name.endsWith('.safetensors') && { lfs: { oid, size: data.length, pointerSize: 130 } }),
        }));
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(entries));
        return;
      }
      const name = path.split('/resolve/main/')[1]!;
      const data = files[name]!;
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      if (from !== undefined) ranges.push(`${name} ${from}`);
      const part = from === undefined ? data : data.subarray(Number(from), Number(to) + 1);
      response.writeHead(from === undefined ? 200 : 206, {
        etag: '"x"',
        'content-range': `bytes ${from ?? 0}-${to ?? data.length - 1}/${data.length}`,
      });
      response.end(part);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    hub = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    oid = createHash('sha256').update(files['model.safetensors']!).digest('hex');
    scratch = mkdtempSync(join(tmpdir(), 'padless-pull-'));
    jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  });
  afterEach(() => {
    jest.restoreAllMocks();
    rmSync(scratch, { recursive: true, force: true });
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const run = (hubUrl = hub) =>
    pull('org/name', { output: scratch, revision: 'main', hub: hubUrl }, new AbortController().signal);

  test('brings the needed files and continues what was interrupted', async () => {
    writeFileSync(join(scratch, 'model.safetensors.part'), files['model.safetensors']!.subarray(0, 20_000));
    await run();
    expect(readFileSync(join(scratch, 'model.safetensors')).equals(files['model.safetensors']!)).toBe(true);
    expect(existsSync(join(scratch, 'README.md'))).toBe(false);
    expect(ranges).toContain('model.safetensors 20000');
    expect(existsSync(join(scratch, 'model.safetensors.part'))).toBe(false);
  });

  test('a file that arrives damaged is not kept', async () => {
    oid = '0'.repeat(64);
    await expect(run()).rejects.toMatchObject({ code: 'E_NETWORK', field: 'model.safetensors' });
    expect(existsSync(join(scratch, 'model.safetensors'))).toBe(false);
    expect(existsSync(join(scratch, 'config.json'))).toBe(false);
  });

  test('without a hub it says that it needs internet', async () => {
    await expect(run('http://127.0.0.1:1')).rejects.toMatchObject({
      code: 'E_NETWORK',
      message: expect.stringContaining('needs internet'),
    });
  });
});
