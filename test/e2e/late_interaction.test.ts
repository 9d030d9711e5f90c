// ColBERT directories of three projects against sentence-transformers in float64: test/goldens/retrieval.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LateInteraction } from '../../ts/tasks/late_interaction';
import type { MultiVectors } from '../../ts/tasks/multi_vectors';
import { relativeError } from '../support/chains';
import { makeRetrieval, type RetrievalCase } from '../support/retrieval';

const names = ['colbert-stanford', 'colbert-pylate', 'multi-vector', 'multi-vector-attend'];
let scratch: string;
beforeAll(() => (scratch = mkdtempSync(join(tmpdir(), 'padless-colbert-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Shape and largest error of every text's vectors. */
function compare(vectors: MultiVectors, { expected }: RetrievalCase, side: string) {
  return Array.from(vectors, (rows, i) => {
    const { shape, data } = expected.get(`${side}.${i}`)!;
    return { shape: [rows.length, rows.dimensions], wanted: shape, error: relativeError(rows.data, data) };
  });
}

describe.each(names)('%s', (name) => {
  let golden: RetrievalCase;
  let colbert: LateInteraction;
  beforeAll(async () => {
    golden = makeRetrieval(name, join(scratch, name));
    colbert = await LateInteraction.load(golden.checkpoint);
  });
  afterAll(() => colbert[Symbol.asyncDispose]());

  test('vectors equal the reference, alone and in one batch', async () => {
    for (const [side, texts, encode] of [
      ['query', golden.queries, colbert.encodeQueries.bind(colbert)],
      ['document', golden.documents, colbert.encodeDocuments.bind(colbert)],
    ] as const) {
      const vectors = await encode(texts);
      const found = compare(vectors, golden, side);
      expect(found.map(({ shape }) => shape)).toEqual(found.map(({ wanted }) => wanted));
      expect(found.filter(({ error }) => !(error < 1e-5))).toEqual([]);
      const alone = await encode(texts, { batchTokens: 1 });
      expect([alone.data, alone.offsets]).toEqual([vectors.data, vectors.offsets]);
    }
  });

  test('scores and ranks equal the reference', async () => {
    const { queries, documents, expected } = golden;
    const scores = await colbert.similarity(
      await colbert.encodeQueries(queries),
      await colbert.encodeDocuments(documents),
    );
    const { shape, data } = expected.get('scores')!;
    expect([scores.rows, scores.columns]).toEqual(shape);
    expect(relativeError(scores.data, data)).toBeLessThan(1e-5);
    const first = data.slice(0, documents.length);
    const order = [...first.keys()].sort((a, b) => first[b]! - first[a]!);
    const ranked = await colbert.rank(queries[0]!, documents, { topN: 3 });
    expect(ranked.map(({ index, document }) => [index, document])).toEqual(
      order.slice(0, 3).map((index) => [index, documents[index]]),
    );
    expect(ranked.map(({ score }) => score)).toEqual(ranked.map(({ index }) => scores.data[index]));
  });
});

describe('calls', () => {
  let colbert: LateInteraction;
  beforeAll(
    async () =>
      (colbert = await LateInteraction.load(
        makeRetrieval('colbert-pylate', join(scratch, 'calls')).checkpoint,
      )),
  );
  afterAll(() => colbert[Symbol.asyncDispose]());

  test('nothing to encode, nothing to rank', async () => {
    expect((await colbert.encodeQueries([])).length).toBe(0);
    const none = await colbert.encodeDocuments([]);
    expect([none.length, none.dimensions]).toEqual([0, 12]);
    expect(await colbert.rank('a', [])).toEqual([]);
    expect((await colbert.similarity(await colbert.encodeQueries('a'), none)).data.length).toBe(0);
    expect(() => none.row(0)).toThrow(RangeError);
  });

  test.each([
    ['a query that is a number', 3, ['a'], {}, 'E_INVALID_ARGUMENT', 'query'],
    ['documents that are none', 'a', undefined, {}, 'E_INVALID_ARGUMENT', 'documents'],
    ['a number among documents', 'a', ['a', 1], {}, 'E_INVALID_ARGUMENT', 'documents[1]'],
    ['topN 0', 'a', ['a'], { topN: 0 }, 'E_INVALID_ARGUMENT', 'topN'],
    ['a misspelled option', 'a', ['a'], { topn: 1 }, 'E_INVALID_ARGUMENT', 'topn'],
    [
      'a document that may not be cut',
      'a',
      ['b', 'bread '.repeat(99)],
      { truncate: false },
      'E_TOO_LONG',
      'texts[1]',
    ],
    ['a fired signal', 'a', ['a'], { signal: AbortSignal.abort() }, 'E_ABORTED', 'signal'],
  ])('%s', async (_name, query, documents, options, code, field) => {
    await expect(
      colbert.rank(query as string, documents as string[], options as object),
    ).rejects.toMatchObject({ code, field });
    expect((await colbert.rank('later', ['a'])).length).toBe(1);
  });

  test('an abort in the middle rejects, and so does a disposal', async () => {
    const controller = new AbortController();
    const texts = Array.from({ length: 3000 }, (_, i) => `the river ${i} wanders`);
    const pending = colbert.encodeDocuments(texts, { batchTokens: 64, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(pending).rejects.toMatchObject({ code: 'E_ABORTED' });
    const other = await LateInteraction.load(join(scratch, 'calls'));
    other.dispose();
    other.dispose();
    await expect(other.rank('a', ['b'])).rejects.toMatchObject({ code: 'E_DISPOSED' });
  });
});

describe('load', () => {
  type Json = Record<string, unknown>;
  test.each<[string, string, string, (json: Json) => unknown, string, string]>([
    [
      'a mask for queries too',
      'multi-vector',
      '2_MultiVectorMask/config.json',
      (json) => ({ ...json, skiplist_tasks: ['query', 'document'] }),
      'E_UNSUPPORTED',
      'skiplist_tasks',
    ],
    [
      'image tokens alone',
      'multi-vector',
      '2_MultiVectorMask/config.json',
      (json) => ({ ...json, keep_only_token_ids: [5] }),
      'E_UNSUPPORTED',
      'keep_only_token_ids',
    ],
    [
      'an unknown strategy',
      'multi-vector',
      'sentence_bert_config.json',
      () => ({ query_expansion: { strategy: 'max', length: 3 } }),
      'E_UNSUPPORTED',
      'query_expansion.strategy',
    ],
    [
      'a token that is not there',
      'multi-vector',
      'sentence_bert_config.json',
      () => ({ query_expansion: { strategy: 'min', length: 3, token: '[NO]' } }),
      'E_BAD_TOKENIZER',
      'tokenizer.json',
    ],
    [
      'another similarity',
      'multi-vector',
      'config_sentence_transformers.json',
      (json) => ({ ...json, similarity_fn_name: 'mean_maxsim' }),
      'E_UNSUPPORTED',
      'similarity_fn_name',
    ],
    [
      'a residual',
      'colbert-pylate',
      '1_Dense/config.json',
      (json) => ({ ...json, use_residual: true }),
      'E_UNSUPPORTED',
      'use_residual',
    ],
    [
      'another width',
      'colbert-pylate',
      '1_Dense/config.json',
      (json) => ({ ...json, out_features: 13 }),
      'E_BAD_WEIGHTS',
      'linear.weight',
    ],
    [
      'distances of L2',
      'colbert-stanford',
      'artifact.metadata',
      (json) => ({ ...json, similarity: 'l2' }),
      'E_UNSUPPORTED',
      'similarity',
    ],
    [
      'no class of ColBERT',
      'colbert-stanford',
      'config.json',
      (json) => ({ ...json, architectures: ['BertModel'] }),
      'E_UNSUPPORTED',
      'architectures',
    ],
  ])('%s', async (name, golden, file, edit, code, field) => {
    const { checkpoint } = makeRetrieval(golden, join(scratch, name));
    const path = join(checkpoint, file);
    writeFileSync(path, JSON.stringify(edit(JSON.parse(readFileSync(path, 'utf8')) as Json)));
    await expect(LateInteraction.load(checkpoint)).rejects.toMatchObject({ code, field });
  });
});
