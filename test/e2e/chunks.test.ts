// Long texts in chunks, against chunks that are run one by one and pooled in float64 here.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Encoder } from '../../ts/encoder';
import { ModelDirectory } from '../../ts/models/directory';
import { PackedBatch } from '../../ts/packed';
import { Embedder, type EmbedOptions } from '../../ts/tasks/embedder';
import { Tokenizer } from '../../ts/tokenizer/tokenizer';
import { makeChain, relativeError } from '../support/chains';
import { exactCpu } from '../support/devices';

let scratch: string;
let folder: string;
let embedder: Embedder;
let encoder: Encoder;
let tokenizer: Tokenizer;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'padless-chunks-'));
  folder = join(scratch, 'max-length');
  makeChain('max-length', folder);
  embedder = await Embedder.load(folder, { device: exactCpu });
  encoder = await Encoder.load(folder, { device: exactCpu });
  tokenizer = await Tokenizer.load(await ModelDirectory.open(folder), { maxLength: embedder.maxLength });
});
afterAll(async () => {
  await embedder[Symbol.asyncDispose]();
  encoder.dispose();
  await tokenizer.dispose();
  rmSync(scratch, { recursive: true, force: true });
});

const texts = [
  'the river wanders and the old clock waits '.repeat(9),
  'short',
  '',
  'bread 😀 harbour '.repeat(6),
  'x',
];

interface Chunk {
  vector: Float32Array;
  tokens: number;
}

/** The chunks of `text`, each run alone. */
async function chunksOf(text: string, stride: number, prefix: string, normalize: boolean): Promise<Chunk[]> {
  const { ids, lengths } = await tokenizer.encode([text], { stride, prefix });
  let begin = 0;
  const chunks: Chunk[] = [];
  for (const tokens of lengths) {
    const batch = PackedBatch.fromSequences([ids.subarray(begin, (begin += tokens))]);
    const { sentenceEmbedding } = await encoder.run(batch, { outputs: ['sentenceEmbedding'], normalize });
    chunks.push({ vector: sentenceEmbedding!, tokens });
  }
  return chunks;
}

function pooled(chunks: Chunk[], pooling: 'mean' | 'max', normalize: boolean): number[] {
  if (chunks.length === 1) return [...chunks[0]!.vector];
  const total = chunks.reduce((sum, { tokens }) => sum + tokens, 0);
  const row = Array.from(chunks[0]!.vector, (_, i) =>
    pooling === 'max'
      ? Math.max(...chunks.map(({ vector }) => vector[i]!))
      : chunks.reduce((sum, { vector, tokens }) => sum + (vector[i]! * tokens) / total, 0),
  );
  const norm = normalize ? Math.hypot(...row) : 1;
  return row.map((value) => value / norm);
}

test.each([
  ['mean', 0, '', false],
  ['mean', 3, '', true],
  ['max', 0, '', false],
  ['max', 2, '', true],
  ['mean', 1, 'query: ', false],
] as const)('%s, stride %d, prompt "%s", normalize %s', async (pooling, stride, prompt, normalize) => {
  const options = { chunks: { pooling, stride }, prompt, normalize };
  const vectors = await embedder.embed(texts, options);
  // One chunk a batch: the same bits.
  const alone = await embedder.embed(texts, { ...options, batchTokens: 1 });
  expect(alone.data).toEqual(vectors.data);
  expect(vectors.length).toBe(texts.length);
  const counts: number[] = [];
  for (const [i, text] of texts.entries()) {
    const chunks = await chunksOf(text, stride, prompt, normalize);
    counts.push(chunks.length);
    expect(relativeError(vectors.row(i), pooled(chunks, pooling, normalize))).toBeLessThan(1e-6);
  }
  expect(Math.max(...counts)).toBeGreaterThan(2);
  expect(counts.at(-1)).toBe(1);
});

test('a text within the limit has the vector that it has without chunks', async () => {
  const [chunked, plain] = [await embedder.embed('short', { chunks: true }), await embedder.embed('short')];
  expect(chunked.data).toEqual(plain.data);
  expect((await embedder.embed([], { chunks: true })).length).toBe(0);
});

test.each<[string, EmbedOptions, string, string]>([
  ['a negative stride', { chunks: { stride: -1 } }, 'E_INVALID_ARGUMENT', 'stride'],
  ['a stride beyond the limit', { chunks: { stride: 500 } }, 'E_INVALID_ARGUMENT', 'stride'],
  ['an unknown pooling', { chunks: { pooling: 'sum' as 'max' } }, 'E_INVALID_ARGUMENT', 'pooling'],
  ['a number', { chunks: 3 as never }, 'E_INVALID_ARGUMENT', 'chunks'],
  ['truncate as well', { chunks: true, truncate: true }, 'E_INVALID_ARGUMENT', 'chunks'],
  ['a prompt that leaves no room', { chunks: true, prompt: texts[0]! }, 'E_TOO_LONG', 'texts[0]'],
])('%s', async (_name, options, code, field) => {
  await expect(embedder.embed(texts, options)).rejects.toMatchObject({ code, field });
});
