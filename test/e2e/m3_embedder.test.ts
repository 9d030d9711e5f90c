// BGE-M3's three results against its formulas in float64: test/goldens/retrieval.
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { M3Embedder } from '../../ts/tasks/m3_embedder';
import { relativeError } from '../support/chains';
import { makeRetrieval, type RetrievalCase } from '../support/retrieval';

let scratch: string;
let golden: RetrievalCase;
let m3: M3Embedder;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'padless-m3-'));
  golden = makeRetrieval('bge-m3', join(scratch, 'bge-m3'));
  m3 = await M3Embedder.load(golden.checkpoint);
});
afterAll(async () => {
  await m3[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

test('the three results equal the reference, alone and in one batch', async () => {
  const { texts, expected } = golden;
  const { dense, sparse, vectors } = await m3.embed(texts);
  expect(relativeError(dense.data, expected.get('dense')!.data)).toBeLessThan(1e-5);
  const width = sparse.dimensions;
  expect(expected.get('sparse')!.shape).toEqual([texts.length, width]);
  const rows = new Float64Array(texts.length * width);
  [...sparse].forEach(({ indices, values }, i) =>
    indices.forEach((index, j) => (rows[i * width + index] = values[j]!)),
  );
  expect(relativeError(rows, expected.get('sparse')!.data)).toBeLessThan(1e-5);
  texts.forEach((_, i) => {
    const { shape, data } = expected.get(`vectors.${i}`)!;
    expect([vectors.row(i).length, vectors.dimensions]).toEqual(shape);
    expect(relativeError(vectors.row(i).data, data)).toBeLessThan(1e-5);
  });
  const alone = await m3.embed(texts, { batchTokens: 1 });
  expect([alone.dense.data, alone.sparse.values, alone.vectors.data]).toEqual([
    dense.data,
    sparse.values,
    vectors.data,
  ]);
});

test('no text, topK, bad input', async () => {
  const none = await m3.embed([]);
  expect([none.dense.length, none.sparse.length, none.vectors.length]).toEqual([0, 0, 0]);
  const [all, top] = [await m3.embed(golden.texts), await m3.embed(golden.texts, { topK: 1 })];
  const largest = Array.from(all.sparse, ({ values }) => (values.length > 0 ? [Math.max(...values)] : []));
  expect(Array.from(top.sparse, ({ values }) => [...values])).toEqual(largest);
  expect(Math.max(...Array.from(all.sparse, ({ values }) => values.length))).toBeGreaterThan(1);
  await expect(m3.embed([1] as never)).rejects.toMatchObject({
    code: 'E_INVALID_ARGUMENT',
    field: 'texts[0]',
  });
  await expect(m3.embed('a', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'E_ABORTED' });
  await expect(m3.embed('bread '.repeat(99), { truncate: false })).rejects.toMatchObject({
    code: 'E_TOO_LONG',
  });
});

test('pickles are refused by the name of the converter, missing files by their own', async () => {
  const { checkpoint } = makeRetrieval('bge-m3', join(scratch, 'pickles'));
  const file = join(checkpoint, 'sparse_linear.safetensors');
  renameSync(file, join(checkpoint, 'sparse_linear.pt'));
  await expect(M3Embedder.load(checkpoint)).rejects.toMatchObject({
    code: 'E_BAD_WEIGHTS',
    field: 'sparse_linear.pt',
    message: expect.stringContaining('scripts/convert-checkpoint.py'),
  });
  rmSync(join(checkpoint, 'sparse_linear.pt'));
  await expect(M3Embedder.load(checkpoint)).rejects.toMatchObject({
    code: 'E_NOT_FOUND',
    field: 'sparse_linear.safetensors',
  });
});
