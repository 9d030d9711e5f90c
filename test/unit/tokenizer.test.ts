import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ModelDirectory } from '../../ts/models/directory';
import type { EncodeRequest, TokenizerReply, TokenizerSetup } from '../../ts/tokenizer/protocol';
import { leaseThread } from '../../ts/tokenizer/thread';
import { Tokenizer } from '../../ts/tokenizer/tokenizer';
import { checkVocabulary, parseTokenizerConfig } from '../../ts/tokenizer/settings';
import { expectError } from '../support/errors';

const goldens = join(__dirname, '../goldens');
const names = ['bert', 'roberta', 'xlm-roberta', 'camembert'] as const;
type Name = (typeof names)[number];

interface Difficult {
  text: string;
  pair?: string;
  maxLength?: number;
  ids: Record<Name, number[]>;
  typeIds?: Partial<Record<Name, number[]>>;
}

const difficult = JSON.parse(readFileSync(join(goldens, 'tokenizer_strings.json'), 'utf8')) as Difficult[];

async function load(name: Name, maxLength: number): Promise<Tokenizer> {
  return Tokenizer.load(await ModelDirectory.open(join(goldens, 'models', name, 'checkpoint')), {
    maxLength,
  });
}

test.each([
  ['bert', '[MASK]', '[UNK]', true],
  ['roberta', '<mask>', '<unk>', false],
  ['xlm-roberta', '<mask>', '<unk>', false],
  ['camembert', '<mask>', '<unk>', false],
] as const)('%s knows its mask and its unknown token', async (name, mask, unknown, marksSubwords) => {
  const tokenizer = await load(name, 512);
  const texts = await tokenizer.decode(
    [tokenizer.maskId!, tokenizer.unknownId!].map((id) => Int32Array.of(id)),
  );
  expect([...texts, tokenizer.marksSubwords]).toEqual([mask, unknown, marksSubwords]);
  await tokenizer.dispose();
});

const setup: TokenizerSetup = {
  file: join(goldens, 'models/bert/checkpoint/tokenizer.json'),
  lowerCase: false,
  truncationSide: 'right',
  padToken: undefined,
  maskTokens: [],
  unknownTokens: [],
  addedToken: {},
};

test('a thread that has ended is not shared any more', async () => {
  const first = await leaseThread(setup, undefined);
  const second = await leaseThread(setup, undefined);
  expect(second.thread).toBe(first.thread);
  await first.thread.close();
  await expectError(
    () =>
      second.thread.decode(
        { kind: 'decode', ids: Int32Array.of(5), lengths: Int32Array.of(1), skipSpecialTokens: false },
        undefined,
      ),
    {
      code: 'E_INTERNAL',
    },
  );
  const third = await leaseThread(setup, undefined);
  await first.release();
  await second.release();
  const fourth = await leaseThread(setup, undefined);
  expect(third.thread).not.toBe(first.thread);
  expect(fourth.thread).toBe(third.thread);
  await third.release();
  await fourth.release();
});

test('what is cancelled is not tokenised, or its tokens are dropped; other requests are answered', async () => {
  const worker = new Worker(join(__dirname, '../../dist/tokenizer/worker.js'), { workerData: setup });
  const replies: TokenizerReply[] = [];
  const encode = (id: number, text: string): EncodeRequest => ({
    ...{ kind: 'encode', id, texts: [text], pairs: undefined, cut: undefined, prefix: '', limit: 512 },
    ...{ truncate: true, pairTruncation: 'longestFirst', stride: undefined },
    ...{ specialTokens: true, details: false },
  });
  const all = new Promise<void>((resolve) =>
    worker.on('message', (reply: TokenizerReply) => {
      if (replies.push(reply) === 5) resolve();
    }),
  );
  // The first runs when it is cancelled, the second waits.
  worker.postMessage(encode(0, 'the fox '.repeat(20_000)));
  worker.postMessage({ kind: 'tokenIds', id: 1, tokens: ['the'] });
  worker.postMessage(encode(2, 'the harbour'));
  for (const id of [1, 0]) worker.postMessage({ kind: 'cancel', id });
  worker.postMessage(encode(3, 'the fox'));
  await all;
  await worker.terminate();
  const isDone = replies.slice(1).map((reply) => [reply.kind, 'id' in reply && reply.id]);
  expect(isDone).toEqual([
    ['failed', 0],
    ['failed', 1],
    ['encoded', 2],
    ['encoded', 3],
  ]);
});

test('an aborted call gives its requests up, and leaves the tokenizer to others', async () => {
  const tokenizer = await load('bert', 512);
  const wanted = await tokenizer.encode(['the harbour wakes']);
  const posted = jest.spyOn(Worker.prototype, 'postMessage');
  const controller = new AbortController();
  const signal = controller.signal;
  const aborted = [1, 2, 3].map(() => tokenizer.encode(['the fox '.repeat(20_000)], { stride: 8, signal }));
  const other = tokenizer.encode(['the harbour wakes']);
  controller.abort();
  for (const call of aborted) await expect(call).rejects.toMatchObject({ code: 'E_ABORTED' });
  const cancelled = posted.mock.calls.map(([message]) => message as { kind: string });
  expect(cancelled.filter(({ kind }) => kind === 'cancel')).toHaveLength(3);
  expect(await other).toEqual(wanted);
  const before = posted.mock.calls.length;
  await expect(tokenizer.encode(['the fox'], { signal })).rejects.toMatchObject({ code: 'E_ABORTED' });
  expect(posted.mock.calls.length).toBe(before);
  posted.mockRestore();
  await tokenizer.dispose();
});

test('decodes sequences of any length, with and without special tokens', async () => {
  const tokenizer = await load('bert', 512);
  const { ids } = await tokenizer.encode(['the harbour wakes']);
  const sequences = [ids, new Int32Array(0), ids.subarray(1, 2)];
  expect(await tokenizer.decode(sequences, { skipSpecialTokens: true })).toEqual([
    'the harbour wakes',
    '',
    'the',
  ]);
  expect(await tokenizer.decode([ids])).toEqual(['[CLS] the harbour wakes [SEP]']);
  await tokenizer.dispose();
});

describe.each(names)('%s', (name) => {
  test('equals the Rust library on difficult strings', async () => {
    for (const maxLength of new Set(difficult.map((record) => record.maxLength))) {
      // tokenizer_config.json cuts at 512; longer ones come with the truncation tests.
      const records = difficult.filter(
        (record) => record.maxLength === maxLength && record.ids[name].length < 512,
      );
      const tokenizer = await load(name, maxLength ?? 512);
      for (const { text, pair, ids, typeIds } of records) {
        const encoded = await tokenizer.encode([text], pair === undefined ? {} : { pairs: [pair] });
        expect({ text, pair, ids: [...encoded.ids] }).toEqual({ text, pair, ids: ids[name] });
        expect([...(encoded.tokenTypes ?? [])]).toEqual(typeIds?.[name] ?? []);
      }
      await tokenizer.dispose();
    }
  });
});

describe('limits', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => (tokenizer = await load('bert', 8)));
  afterAll(() => tokenizer.dispose());

  test('a cut keeps the special tokens', async () => {
    const { ids, lengths } = await tokenizer.encode(['the river wanders and wanders and wanders']);
    expect([...lengths]).toEqual([8]);
    expect([ids[0], ids[7]]).toEqual([2, 3]);
  });

  test('without truncation the text, its tokens and the limit are named', async () => {
    const texts = ['the', 'river '.repeat(20)];
    await expect(tokenizer.encode(texts, { truncate: false, firstIndex: 40 })).rejects.toMatchObject({
      code: 'E_TOO_LONG',
      field: 'texts[41]',
      message: expect.stringMatching(/Text 41 has \d+ tokens and the limit is 8/),
    });
    expect((await tokenizer.encode(['the'])).lengths[0]).toBe(3);
  });

  test('a prefix counts with its leading special token', async () => {
    const { ids } = await tokenizer.encode(['the river']);
    expect(await tokenizer.prefixLength('the river')).toBe(ids.length - 1);
  });

  test('requests at the same time keep their own settings', async () => {
    const long = 'river '.repeat(20);
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => tokenizer.encode([long], { truncate: i % 2 === 0 })),
    );
    expect(results.map(({ status }) => status)).toEqual(
      Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'fulfilled' : 'rejected')),
    );
  });

  test('no room for text is refused', async () => {
    await expect(load('bert', 2)).rejects.toMatchObject({ code: 'E_BAD_CONFIG', field: 'max_seq_length' });
  });
});

describe('settings', () => {
  test.each([
    [undefined, undefined],
    [{ model_max_length: 1e30 }, undefined],
    [{ model_max_length: 128 }, 128],
  ])('model_max_length of %j', (config, expected) => {
    expect(parseTokenizerConfig(config).maxLength).toBe(expected);
  });

  test('a padding token may be an object', () => {
    expect(parseTokenizerConfig({ pad_token: { content: '<pad>' } }).padToken).toBe('<pad>');
  });

  test('a vocabulary beyond the embedding table is refused', () => {
    const model = { vocabSize: 10, padId: 0 };
    expect(() => checkVocabulary({ baseVocabSize: 10, padId: 0 }, model)).not.toThrow();
    expect(() => checkVocabulary({ baseVocabSize: 11, padId: 0 }, model)).toThrow('11 tokens');
    expect(() => checkVocabulary({ baseVocabSize: 10, padId: 1 }, model)).toThrow('pad_token_id 0');
    expect(() =>
      checkVocabulary({ baseVocabSize: 10, padId: 1 }, { ...model, padId: undefined }),
    ).not.toThrow();
  });

  test.each([
    ['tokenizer.json', 'Left', undefined, 'left'],
    ['tokenizer.json', 'Right', undefined, 'right'],
    ['tokenizer_config.json', 'Left', 'right', 'right'],
    ['tokenizer_config.json', 'Right', 'left', 'left'],
  ] as const)('the side of a cut is that of %s (%s, %s)', async (_file, direction, side, cut) => {
    const scratch = mkdtempSync(join(tmpdir(), 'padless-tokenizer-'));
    const path = join(goldens, 'models/bert/checkpoint/tokenizer.json');
    const json = JSON.parse(readFileSync(path, 'utf8')) as object;
    const truncation = { direction, max_length: 99, strategy: 'LongestFirst', stride: 0 };
    writeFileSync(join(scratch, 'tokenizer.json'), JSON.stringify({ ...json, truncation }, null, 2));
    writeFileSync(join(scratch, 'tokenizer_config.json'), JSON.stringify({ truncation_side: side }));
    const tokenizer = await Tokenizer.load(await ModelDirectory.open(scratch), { maxLength: 4 });
    const long = await tokenizer.encode(['the river the harbour']);
    const kept = cut === 'left' ? 'the harbour' : 'the river';
    expect([...long.ids]).toEqual([...(await tokenizer.encode([kept])).ids]);
    await tokenizer.dispose();
    rmSync(scratch, { recursive: true });
  });

  test('lower-cases first where told', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'padless-tokenizer-'));
    cpSync(join(goldens, 'models/roberta/checkpoint/tokenizer.json'), join(scratch, 'tokenizer.json'));
    writeFileSync(join(scratch, 'tokenizer_config.json'), '{}');
    const directory = await ModelDirectory.open(scratch);
    const tokenizer = await Tokenizer.load(directory, { maxLength: 99, lowerCase: true });
    const upper = await tokenizer.encode(['THE RIVER']);
    expect([...upper.ids]).toEqual([...(await tokenizer.encode(['the river'])).ids]);
    await tokenizer.dispose();
    rmSync(scratch, { recursive: true });
  });
});
