// Strange texts and NaN weights at the tasks that give vectors and scores; those with offsets are in tasks_input.test.ts.
import { join } from 'node:path';
import { Classifier } from '../../ts/tasks/classifier';
import { Embedder } from '../../ts/tasks/embedder';
import { LateInteraction } from '../../ts/tasks/late_interaction';
import { M3Embedder } from '../../ts/tasks/m3_embedder';
import { Reranker } from '../../ts/tasks/reranker';
import { SparseEncoder } from '../../ts/tasks/sparse_encoder';
import { makeChain } from '../support/chains';
import { expectError } from '../support/errors';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { spoilTensor } from '../support/spoil';
import { STRANGE_TEXTS } from '../support/strange';
import { makeTask } from '../support/tasks';

const scratch = scratchDirectory();
type Run = (texts: string[]) => Promise<unknown>;

test.each<[string, (path: string) => Promise<[AsyncDisposable, Run]>]>([
  [
    'Embedder',
    async (path) => {
      makeChain('pool-mean', path);
      const task = await Embedder.load(path);
      return [task, async (texts) => (await task.embed(texts)).data];
    },
  ],
  [
    'Classifier',
    async (path) => {
      makeTask('classify-one-of', path);
      const task = await Classifier.load(path);
      return [task, (texts) => task.classify(texts)];
    },
  ],
  [
    'Reranker',
    async (path) => {
      makeTask('rerank-identity', path);
      const task = await Reranker.load(path);
      return [task, (texts) => task.scores(texts.map((text) => ({ text, pair: text })))];
    },
  ],
  [
    'SparseEncoder',
    async (path) => {
      makeRetrieval('splade-bare', path);
      const task = await SparseEncoder.load(path);
      return [
        task,
        async (texts) => {
          const { offsets, indices, values } = await task.encode(texts);
          return [offsets, indices, values];
        },
      ];
    },
  ],
  [
    'LateInteraction',
    async (path) => {
      makeRetrieval('colbert-pylate', path);
      const task = await LateInteraction.load(path);
      return [
        task,
        async (texts) => [(await task.encodeQueries(texts)).data, (await task.encodeDocuments(texts)).data],
      ];
    },
  ],
  [
    'M3Embedder',
    async (path) => {
      makeRetrieval('bge-m3', path);
      const task = await M3Embedder.load(path);
      return [
        task,
        async (texts) => {
          const { dense, sparse, vectors } = await task.embed(texts);
          return [dense.data, sparse.values, vectors.data];
        },
      ];
    },
  ],
])('%s takes strange texts, half a surrogate pair as U+FFFD', async (name, load) => {
  const [task, run] = await load(join(scratch, name));
  try {
    const found = await run([...STRANGE_TEXTS]);
    const wellFormed = STRANGE_TEXTS.map((text) => Buffer.from(text, 'utf8').toString('utf8'));
    expect(wellFormed[0]).toContain('\ufffd');
    expect(found).toEqual(await run(wellFormed));
    const numbers = JSON.stringify(found).match(/NaN|null|Infinity/);
    expect(numbers).toBeNull();
  } finally {
    await task[Symbol.asyncDispose]();
  }
});

test.each<[string, string, string, (path: string) => Promise<AsyncDisposable>]>([
  ['a Dense module', 'model.safetensors', 'linear.weight', (path) => Embedder.load(path)],
  [
    'ColBERT’s linear layer',
    '1_Dense/model.safetensors',
    'linear.weight',
    (path) => LateInteraction.load(path),
  ],
  ['SPLADE’s decoder', 'model.safetensors', 'cls.predictions.bias', (path) => SparseEncoder.load(path)],
  ['BGE-M3’s linear layer', 'sparse_linear.safetensors', 'weight', (path) => M3Embedder.load(path)],
])('NaN in %s is refused by the tensor’s name', async (name, file, tensor, load) => {
  const path = join(scratch, name.replace(/\W+/g, '-'));
  if (name.startsWith('a Dense')) makeChain('dense-tanh', path);
  else if (name.startsWith('ColBERT')) makeRetrieval('colbert-pylate', path);
  else if (name.startsWith('SPLADE')) makeRetrieval('splade-bare', path);
  else makeRetrieval('bge-m3', path);
  spoilTensor(join(path, name.startsWith('a Dense') ? `2_Dense/${file}` : file), tensor);
  await expectError(() => load(path), { code: 'E_BAD_WEIGHTS', field: tensor });
});
