// Offsets, words, segments and windows, as the Rust tokenizers library gives them in Python:
// test/goldens/tokenizer_strings.json and tokenizer_windows.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ModelDirectory } from '../../ts/models/directory';
import type { TokenizedChunk } from '../../ts/tokenizer/protocol';
import { Tokenizer, type EncodeOptions } from '../../ts/tokenizer/tokenizer';
import { characterUnits } from '../../ts/tokenizer/units';
import { cut, windows } from '../../ts/tokenizer/windows';

interface Sequence {
  ids: number[];
  typeIds: number[];
  offsets: number[][];
  words: number[];
  segments: number[];
}

interface StringCase {
  text: string;
  pair?: string;
  maxLength?: number;
  offsets?: Record<string, number[][]>;
}

interface WindowCase {
  texts: [string, string?];
  maxLength: number | null;
  stride: number | null;
  windows: Record<string, Sequence[]>;
}

const goldens = join(__dirname, '../goldens');
const read = (file: string): unknown => JSON.parse(readFileSync(join(goldens, file), 'utf8'));
const strings = read('tokenizer_strings.json') as StringCase[];
const windowCases = read('tokenizer_windows.json') as WindowCase[];
const names = ['bert', 'roberta', 'xlm-roberta', 'camembert'];

async function load(name: string, maxLength = 512): Promise<Tokenizer> {
  return Tokenizer.load(await ModelDirectory.open(join(goldens, 'models', name, 'checkpoint')), {
    maxLength,
  });
}

function sequencesOf({ ids, tokenTypes, lengths, details }: TokenizedChunk): Sequence[] {
  let begin = 0;
  return Array.from(lengths, (length) => {
    const [from, to] = [begin, (begin += length)];
    return {
      ids: [...ids.subarray(from, to)],
      typeIds: tokenTypes ? [...tokenTypes.subarray(from, to)] : Array<number>(length).fill(0),
      offsets: Array.from({ length }, (_, i) => [
        ...details!.offsets.subarray(2 * (from + i), 2 * (from + i) + 2),
      ]),
      words: [...details!.words.subarray(from, to)],
      segments: [...details!.segments.subarray(from, to)],
    };
  });
}

describe.each(names)('%s', (name) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => (tokenizer = await load(name)));
  afterAll(() => tokenizer.dispose());

  test('offsets of difficult strings', async () => {
    const cases = strings.filter(({ offsets, maxLength }) => offsets?.[name] && maxLength === undefined);
    const chunk = await tokenizer.encode(
      cases.map(({ text }) => text),
      { details: true },
    );
    const actual = sequencesOf(chunk).map(({ offsets }, i) => ({ text: cases[i]!.text, offsets }));
    expect(actual).toEqual(cases.map(({ text, offsets }) => ({ text, offsets: offsets![name] })));
  });

  test('offsets count from behind a prefix', async () => {
    const prefix = 'query 😀: ';
    const texts = ['the river 😀 wanders', '𠮷野家'];
    const [plain, prefixed] = await Promise.all([
      tokenizer.encode([texts.map((text) => ` ${text}`).join('')], { details: true }),
      tokenizer.encode([texts.map((text) => ` ${text}`).join('')], { details: true, prefix }),
    ]);
    const last = (chunk: TokenizedChunk) => sequencesOf(chunk)[0]!.offsets.slice(-8, -1);
    expect(last(prefixed!)).toEqual(last(plain!));
    expect(sequencesOf(prefixed!)[0]!.offsets.slice(0, 3)).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
  });

  test.each(
    windowCases.map(
      (item) => [JSON.stringify([item.maxLength, item.stride, item.texts]).slice(0, 80), item] as const,
    ),
  )('windows %s', async (_title, { texts: [text, pair], maxLength, stride, windows: expected }) => {
    const chunk = await tokenizer.encode([text], {
      ...(pair !== undefined && { pairs: [pair] }),
      ...(maxLength !== null && { maxLength, pairTruncation: 'onlySecond' }),
      ...(stride !== null && { stride }),
      details: true,
    });
    expect(sequencesOf(chunk)).toEqual(expected[name]);
    expect(chunk.texts && [...chunk.texts]).toEqual(
      stride === null ? undefined : expected[name]!.map(() => 0),
    );
  });

  test('every window starts with the prefix', async () => {
    const prefix = 'query: ';
    const text = 'the river wanders and the clock waits '.repeat(8);
    const head = await tokenizer.prefixLength(prefix);
    const chunk = await tokenizer.encode(['a', text], {
      prefix,
      maxLength: head + 9,
      stride: 3,
      firstIndex: 5,
    });
    const sequences = sequencesOf({
      ...chunk,
      details: { offsets: new Int32Array(0), words: chunk.ids, segments: new Int8Array(0) },
    });
    expect(sequences.length).toBeGreaterThan(4);
    expect([...chunk.texts!]).toEqual(sequences.map((_, i) => (i === 0 ? 5 : 6)));
    // The last token of the prefix alone may be its blank, which is part of the text's first token in a sequence.
    for (const { ids } of sequences)
      expect(ids.slice(0, head - 1)).toEqual(sequences[0]!.ids.slice(0, head - 1));
  });
});

describe('bad input', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => (tokenizer = await load('bert', 12)));
  afterAll(() => tokenizer.dispose());

  const long = 'the river wanders and wanders';
  test.each<[string, EncodeOptions, string, string]>([
    ['a stride as long as a window', { stride: 10 }, 'E_INVALID_ARGUMENT', 'stride'],
    ['a stride as long as the window of a pair', { stride: 9, pairs: ['a'] }, 'E_INVALID_ARGUMENT', 'stride'],
    ['a limit of special tokens', { maxLength: 2 }, 'E_INVALID_ARGUMENT', 'maxLength'],
    [
      'a limit of special tokens of a pair',
      { maxLength: 3, pairs: ['a'] },
      'E_INVALID_ARGUMENT',
      'maxLength',
    ],
    [
      'a first text without room for the second',
      { stride: 0, pairs: ['a'], firstIndex: 3 },
      'E_TOO_LONG',
      'texts[3]',
    ],
    [
      'the same in a cut',
      { pairTruncation: 'onlySecond', pairs: ['a'], maxLength: 5 },
      'E_TOO_LONG',
      'texts[0]',
    ],
    ['a prefix without room for the text', { stride: 1, prefix: long }, 'E_TOO_LONG', 'texts[0]'],
  ])('%s', async (_name, options, code, field) => {
    await expect(tokenizer.encode([long], options)).rejects.toMatchObject({ code, field });
    expect((await tokenizer.encode(['the'])).lengths[0]).toBe(3);
  });
});

test('indices of characters become indices of UTF-16 units', () => {
  const units = (text: string, count: number) =>
    Array.from({ length: count }, (_, i) => characterUnits(text)(i));
  expect(units('ab', 4)).toEqual([0, 1, 2, undefined]);
  expect(units('a😀b\ud83d😀', 7)).toEqual([0, 1, 3, 4, 5, 7, undefined]);
  expect(units('\ude00\ud83d', 4)).toEqual([0, 1, 2, undefined]);
});

test('windows and cuts of ranges', () => {
  const overlong = { length: 10, body: [2, 9], limit: 6 } as const;
  expect(windows(overlong, 1)).toEqual([
    [
      [0, 2],
      [2, 5],
      [9, 10],
    ],
    [
      [0, 2],
      [4, 7],
      [9, 10],
    ],
    [
      [0, 2],
      [6, 9],
      [9, 10],
    ],
  ]);
  expect(windows(overlong, 3)).toBeUndefined();
  expect(cut(overlong, 'right')).toEqual([
    [0, 2],
    [2, 5],
    [9, 10],
  ]);
  expect(cut(overlong, 'left')).toEqual([
    [0, 2],
    [6, 9],
    [9, 10],
  ]);
  expect(cut({ ...overlong, limit: 3 }, 'right')).toBeUndefined();
  expect(windows({ ...overlong, limit: 10 }, 3)).toEqual([[[0, 10]]]);
});
