// Long texts in chunks, against the same chunks run one by one and put together here.
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { ModelDirectory } from '../../ts/models/directory';
import { PackedBatch } from '../../ts/packed';
import { Classifier } from '../../ts/tasks/classifier';
import { Reranker } from '../../ts/tasks/reranker';
import { SparseEncoder } from '../../ts/tasks/sparse_encoder';
import { Tokenizer } from '../../ts/tokenizer/tokenizer';
import { expectError } from '../support/errors';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { editJson, makeTask } from '../support/tasks';
import { exactCpu } from '../support/devices';

const scratch = scratchDirectory();
const folders = {
  classifier: join(scratch, 'classifier'),
  reranker: join(scratch, 'reranker'),
  questions: join(scratch, 'questions'),
  sparse: join(scratch, 'sparse'),
};

beforeAll(() => {
  makeTask('classify-one-of', folders.classifier);
  makeTask('rerank-identity', folders.reranker);
  makeTask('rerank-qwen3', folders.questions);
  editJson(join(folders.questions, 'tokenizer_config.json'), (config) => (config['model_max_length'] = 1024));
  makeRetrieval('splade-bare', folders.sparse);
});

const long = 'the river wanders and the old clock waits by the harbour '.repeat(40);
const texts = [long, 'short', '', `bread ${long}`];

/** The windows of a text, of a pair the second, as batches of one. */
async function windowsOf(folder: string, maxLength: number, text: string, stride: number, pair?: string) {
  const tokenizer = await Tokenizer.load(await ModelDirectory.open(folder), { maxLength });
  try {
    const { ids, tokenTypes, lengths } = await tokenizer.encode([text], {
      stride,
      ...(pair !== undefined && { pairs: [pair] }),
    });
    let begin = 0;
    return Array.from(lengths, (length) => {
      const part = <A extends Int32Array>(all: A) => [all.subarray(begin, begin + length)];
      const types = tokenTypes && { tokenTypes: part(tokenTypes) };
      const batch = PackedBatch.fromSequences(part(ids), types ?? {});
      begin += length;
      return batch;
    });
  } finally {
    await tokenizer.dispose();
  }
}

/** Logits of the windows, pooled. */
async function logitsOf(
  encoder: Encoder,
  windows: PackedBatch[],
  pooling: 'mean' | 'max',
): Promise<number[]> {
  const rows: number[][] = [];
  for (const window of windows) rows.push([...(await encoder.run(window, { outputs: ['logits'] })).logits!]);
  const total = windows.reduce((sum, { tokens }) => sum + tokens, 0);
  return rows[0]!.map((_, column) =>
    pooling === 'max'
      ? Math.max(...rows.map((row) => row[column]!))
      : rows.reduce((sum, row, i) => sum + (row[column]! * windows[i]!.tokens) / total, 0),
  );
}

test.each([
  ['mean', 0],
  ['mean', 7],
  ['max', 3],
] as const)('Classifier: %s of the logits, stride %d', async (pooling, stride) => {
  await using classifier = await Classifier.load(folders.classifier, { device: exactCpu });
  using encoder = await Encoder.load(folders.classifier, { device: exactCpu });
  const found = await classifier.classify(texts, { chunks: { pooling, stride }, activation: 'none' });
  const counts: number[] = [];
  for (const [i, text] of texts.entries()) {
    const windows = await windowsOf(folders.classifier, classifier.maxLength, text, stride);
    counts.push(windows.length);
    const logits = await logitsOf(encoder, windows, pooling);
    for (const { label, score } of found[i]!)
      expect(score).toBeCloseTo(logits[classifier.labels.indexOf(label)]!, 5);
  }
  expect(counts[0]).toBeGreaterThan(3);
  expect(counts[1]).toBe(1);
  const plain = await classifier.classify('short', { activation: 'none' });
  expect(found[1]).toEqual(plain[0]);
});

test.each([
  [{}, 'max', 0],
  [{ pooling: 'mean', stride: 5 }, 'mean', 5],
] as const)('Reranker: chunks of the document, %j', async (options, pooling, stride) => {
  await using reranker = await Reranker.load(folders.reranker, { device: exactCpu });
  using encoder = await Encoder.load(folders.reranker, { device: exactCpu });
  const query = 'when does the clock wait';
  const ranked = await reranker.rank(query, texts, { chunks: options, activation: 'none' });
  for (const { index, score } of ranked) {
    const windows = await windowsOf(folders.reranker, reranker.maxLength, query, stride, texts[index]);
    expect(windows.length > 1).toBe(texts[index]!.length > 500);
    const [logit] = await logitsOf(encoder, windows, pooling);
    expect(score).toBeCloseTo(logit!, 5);
  }
});

test('SparseEncoder: the largest weight of each column, then the topK largest', async () => {
  await using sparse = await SparseEncoder.load(folders.sparse, { device: exactCpu });
  const stride = 4;
  const found = await sparse.encode(texts, { chunks: { stride } });
  const few = await sparse.encode(texts, { chunks: { stride }, topK: 3, batchTokens: 1 });
  using encoder = await Encoder.load(folders.sparse, { device: exactCpu });
  for (const [i, text] of texts.entries()) {
    const windows = await windowsOf(folders.sparse, sparse.maxLength, text, stride);
    const best = new Map<number, number>();
    for (const window of windows) {
      const rows = (await encoder.run(window, { outputs: ['sparse'] })).sparse!;
      rows.indices.forEach((id, at) => best.set(id, Math.max(best.get(id) ?? 0, rows.values[at]!)));
    }
    const wanted = [...best].sort(([a], [b]) => a - b);
    const { indices, values } = found.row(i);
    expect([...indices].map((id, at) => [id, values[at]])).toEqual(wanted);
    const top = wanted.sort(([a, x], [b, y]) => y - x || a - b).slice(0, 3);
    expect([...few.row(i).indices]).toEqual(top.map(([id]) => id).sort((a, b) => a - b));
    if (i === 0) expect(windows.length).toBeGreaterThan(2);
  }
});

test('chunks are refused beside truncate, to language models, and with a pooling that they lack', async () => {
  await using classifier = await Classifier.load(folders.classifier, { device: exactCpu });
  await expectError(() => classifier.classify('a', { chunks: true, truncate: true }), {
    code: 'E_INVALID_ARGUMENT',
    field: 'chunks',
  });
  await using reranker = await Reranker.load(folders.questions, { device: exactCpu });
  await expectError(() => reranker.rank('a', ['b'], { chunks: true }), {
    code: 'E_INVALID_ARGUMENT',
    field: 'chunks',
  });
  await using sparse = await SparseEncoder.load(folders.sparse, { device: exactCpu });
  await expectError(() => sparse.encode('a', { chunks: { pooling: 'mean' } as object }), {
    code: 'E_INVALID_ARGUMENT',
    field: 'pooling',
  });
});
