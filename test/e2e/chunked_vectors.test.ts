// Long texts of LateInteraction and M3Embedder in chunks, against windows that are cut, run and put together here.
import { join } from 'node:path';
import { Tokenizer } from 'tokenizers';
import { Encoder } from '../../ts/encoder';
import { M3_PROJECTIONS, describeM3 } from '../../ts/models/bge_m3';
import { describeLateInteraction } from '../../ts/models/late_interaction';
import { PackedBatch } from '../../ts/packed';
import { LateInteraction, type LateDocumentOptions } from '../../ts/tasks/late_interaction';
import { M3Embedder } from '../../ts/tasks/m3_embedder';
import type { MultiVectors } from '../../ts/tasks/multi_vectors';
import { relativeError } from '../support/chains';
import { expectError } from '../support/errors';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { exactCpu } from '../support/devices';

const scratch = scratchDirectory();
const long = 'the river wanders, and (the old clock) waits by the harbour! '.repeat(12);
const texts = ['short', long, '', `bread 😀 ${long}`, 'clocks; maps'];

interface Window {
  ids: Int32Array;
  /** Tokens that no window before has. */
  own: number[];
}

/** All windows of at most `limit` tokens over `body`, between `head` and the last special token. */
function windowsOf(head: number[], body: number[], last: number, limit: number, stride: number): Window[] {
  const room = limit - head.length - 1;
  const windows: Window[] = [];
  for (let from = 0, covered = 0; ; from += room - stride) {
    const part = body.slice(from, from + room);
    const ids = Int32Array.from([...head, ...part, last]);
    const own = [...ids.keys()].filter((t) => t < head.length || t >= head.length + covered - from);
    windows.push({ ids, own });
    covered = from + part.length;
    if (covered === body.length) return windows;
  }
}

/** Row of `width` numbers. */
const rowOf = (data: Float32Array, row: number, width: number) => [
  ...data.subarray(row * width, (row + 1) * width),
];

function expectVectors(found: MultiVectors, wanted: number[][][]): void {
  expect(Array.from(found, ({ length }) => length)).toEqual(wanted.map(({ length }) => length));
  for (const [i, rows] of wanted.entries())
    expect(relativeError(found.row(i).data, rows.flat())).toBeLessThan(1e-6);
}

describe.each([
  // The marker is one token, which PyLate puts behind the first.
  { name: 'colbert-pylate', limit: 25, prefix: '', marker: ['[D] '], punctuation: true },
  // The marker is text.
  { name: 'multi-vector', limit: 22, prefix: 'a text: ', marker: [], punctuation: false },
])('LateInteraction: $name', ({ name, limit, prefix, marker, punctuation }) => {
  const folder = join(scratch, name);
  let colbert: LateInteraction;
  beforeAll(async () => {
    makeRetrieval(name, folder);
    colbert = await LateInteraction.load(folder, { device: exactCpu });
  });
  afterAll(() => colbert[Symbol.asyncDispose]());

  /** The vectors of each text, and its windows. */
  async function reference(stride: number) {
    const tokenizer = Tokenizer.fromFile(join(folder, 'tokenizer.json'));
    tokenizer.disableTruncation();
    const { description, document } = await describeLateInteraction(folder);
    using encoder = await Encoder.fromDescription(description, { logits: false });
    const skipped = new Set(document.skipped.map((word) => tokenizer.tokenToId(word)));
    expect(skipped.size > 1).toBe(punctuation || document.skipped.length > 1);
    const markers = marker.map((token) => tokenizer.tokenToId(token)!);
    expect(markers.every(Number.isInteger)).toBe(true);
    const { length: prompt } = (
      await tokenizer.encode(prefix, undefined, { addSpecialTokens: false })
    ).getIds();
    const results: { rows: number[][]; windows: number }[] = [];
    for (const text of texts) {
      const all = (await tokenizer.encode(prefix + text)).getIds();
      const head = [...all.slice(0, 1 + prompt), ...markers];
      const windows = windowsOf(head, all.slice(1 + prompt, -1), all.at(-1)!, limit, stride);
      const rows: number[][] = [];
      for (const { ids, own } of windows) {
        const batch = PackedBatch.fromSequences([ids]);
        const { projections } = await encoder.run(batch, { outputs: ['projections'] });
        for (const t of own)
          if (!skipped.has(ids[t]!)) rows.push(rowOf(projections![0]!, t, colbert.dimensions));
      }
      results.push({ rows, windows: windows.length });
    }
    return results;
  }

  test.each([0, 1, 5])('documents have the vectors of all chunks, stride %d', async (stride) => {
    const wanted = await reference(stride);
    expect(wanted.map(({ windows }) => windows > 3)).toEqual([false, true, false, true, false]);
    const options: LateDocumentOptions = { chunks: { stride } };
    const found = await colbert.encodeDocuments(texts, options);
    expectVectors(
      found,
      wanted.map(({ rows }) => rows),
    );
    const alone = await colbert.encodeDocuments(texts, { ...options, batchTokens: 1 });
    expect([alone.data, alone.offsets]).toEqual([found.data, found.offsets]);
  });

  test('rank scores whole documents and cuts the query', async () => {
    const ranked = await colbert.rank(long, texts, { chunks: true });
    const { data } = await colbert.similarity(
      await colbert.encodeQueries(long),
      await colbert.encodeDocuments(texts, { chunks: true }),
    );
    expect(ranked.map(({ index, score }) => [index, score])).toEqual(
      [...data.entries()].sort(([, a], [, b]) => b - a),
    );
  });

  test.each<[string, object, string]>([
    ['truncate as well', { chunks: true, truncate: true }, 'chunks'],
    ['a pooling, of which there is none', { chunks: { pooling: 'max' } }, 'pooling'],
    ['a stride that leaves no room', { chunks: { stride: 22 } }, 'stride'],
    ['a string', { chunks: 'yes' }, 'chunks'],
  ])('%s', (_name, options, field) =>
    expectError(() => colbert.encodeDocuments(texts, options), { code: 'E_INVALID_ARGUMENT', field }),
  );

  test('queries have no chunks', () =>
    expectError(() => colbert.encodeQueries(texts, { chunks: true } as object), {
      code: 'E_INVALID_ARGUMENT',
      field: 'chunks',
    }));
});

describe('M3Embedder', () => {
  const folder = join(scratch, 'bge-m3');
  const limit = 40;
  let m3: M3Embedder;
  beforeAll(async () => {
    makeRetrieval('bge-m3', folder);
    m3 = await M3Embedder.load(folder, { device: exactCpu });
  });
  afterAll(() => m3[Symbol.asyncDispose]());

  test.each([
    ['mean', 0],
    ['mean', 7],
    ['max', 3],
  ] as const)('the three results of all chunks, %s, stride %d', async (pooling, stride) => {
    const options = { chunks: { pooling, stride } };
    const found = await m3.embed(texts, options);
    const tokenizer = Tokenizer.fromFile(join(folder, 'tokenizer.json'));
    tokenizer.disableTruncation();
    using encoder = await Encoder.fromDescription(await describeM3(folder), { logits: false });
    const width = encoder.spec.hiddenSize;
    const unknown = tokenizer.tokenToId('<unk>')!;
    const vectors: number[][][] = [];
    for (const [i, text] of texts.entries()) {
      const all = (await tokenizer.encode(text)).getIds();
      const windows = windowsOf(all.slice(0, 1), all.slice(1, -1), all.at(-1)!, limit, stride);
      expect(windows.length > 2).toBe(text.includes(long));
      const dense: number[][] = [];
      const weights = new Map<number, number>();
      const rows: number[][] = [];
      for (const { ids, own } of windows) {
        const { sentenceEmbedding, projections } = await encoder.run(PackedBatch.fromSequences([ids]), {
          outputs: ['sentenceEmbedding', 'projections'],
        });
        dense.push([...sentenceEmbedding!]);
        for (const t of own) if (t > 0) rows.push(rowOf(projections![M3_PROJECTIONS.vectors]!, t, width));
        ids.forEach((id, t) => {
          const weight = projections![M3_PROJECTIONS.weights]![t]!;
          const special = t === 0 || t === ids.length - 1 || id === unknown;
          if (!special && weight > 0) weights.set(id, Math.max(weights.get(id) ?? 0, weight));
        });
      }
      vectors.push(rows);
      const pooled = Array.from({ length: width }, (_, column) =>
        pooling === 'max'
          ? Math.max(...dense.map((row) => row[column]!))
          : dense.reduce((sum, row, w) => sum + row[column]! * windows[w]!.ids.length, 0),
      );
      const norm = Math.hypot(...pooled);
      expect(
        relativeError(
          found.dense.row(i),
          pooled.map((value) => value / norm),
        ),
      ).toBeLessThan(1e-6);
      const { indices, values } = found.sparse.row(i);
      expect([...indices].map((id, at) => [id, values[at]])).toEqual([...weights].sort(([a], [b]) => a - b));
    }
    expectVectors(found.vectors, vectors);

    const alone = await m3.embed(texts, { ...options, batchTokens: 1 });
    expect([alone.dense.data, alone.sparse.values, alone.vectors.data]).toEqual([
      found.dense.data,
      found.sparse.values,
      found.vectors.data,
    ]);
    const few = await m3.embed(texts, { ...options, topK: 2 });
    for (const [i, { values }] of [...found.sparse].entries()) {
      const top = [...values].sort((a, b) => b - a).slice(0, 2);
      expect([...few.sparse.row(i).values].sort((a, b) => b - a)).toEqual(top);
    }
  });

  test('texts within the limit have what they have without chunks; none gives none', async () => {
    const short = texts.filter((text) => text.length < 30);
    const [chunked, plain] = [await m3.embed(short, { chunks: true }), await m3.embed(short)];
    expect(chunked.dense.data).toEqual(plain.dense.data);
    expect([chunked.sparse.indices, chunked.sparse.values]).toEqual([
      plain.sparse.indices,
      plain.sparse.values,
    ]);
    expect([chunked.vectors.data, chunked.vectors.offsets]).toEqual([
      plain.vectors.data,
      plain.vectors.offsets,
    ]);
    const none = await m3.embed([], { chunks: true });
    expect([none.dense.length, none.sparse.length, none.vectors.length]).toEqual([0, 0, 0]);
  });

  test.each<[string, object, string]>([
    ['truncate as well', { chunks: true, truncate: false }, 'chunks'],
    ['an unknown pooling', { chunks: { pooling: 'sum' } }, 'pooling'],
    ['a stride that leaves no room', { chunks: { stride: limit } }, 'stride'],
  ])('%s', (_name, options, field) =>
    expectError(() => m3.embed(texts, options), { code: 'E_INVALID_ARGUMENT', field }),
  );
});
