// Directories as they are published, by the files that say what is computed: test/goldens/published.json.
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCrossEncoder } from '../../ts/models/cross_encoder';
import { specFacts } from '../../ts/models/describe';
import { describeModel, type ModelDescription } from '../../ts/models/description';
import { headFacts } from '../../ts/models/heads/describe';
import { describeLateInteraction } from '../../ts/models/late_interaction';
import { textLimit } from '../../ts/models/spec';
import { expectError } from '../support/errors';
import { scratchDirectory, writeTree } from '../support/scratch';

interface Published {
  /** The fixture whose tensors have the names of the checkpoint's; sizes are not compared here. */
  weights: string;
  files: Record<string, object>;
}

const goldens = join(__dirname, '../goldens');
const published = JSON.parse(readFileSync(join(goldens, 'published.json'), 'utf8')) as Record<
  string,
  Published
>;
const scratch = scratchDirectory();
const seen = new Set<string>();

/** The directory of a published checkpoint, with tensors that have the right names. */
function directoryOf(name: string, more: Record<string, object> = {}): string {
  seen.add(name);
  const { weights, files } = published[name]!;
  const folder = writeTree(join(scratch, name.replace(/\W+/g, '-')), { ...files, ...more });
  copyFileSync(
    join(goldens, 'models', weights, 'checkpoint/model.safetensors'),
    join(folder, 'model.safetensors'),
  );
  for (const file of Object.keys(files).filter((path) => /Dense\/config.json$/.test(path))) {
    copyFileSync(
      join(goldens, 'chains/dense-tanh/files/2_Dense/model.safetensors'),
      join(folder, file.replace('config.json', 'model.safetensors')),
    );
  }
  return folder;
}

/** What `padless inspect` says, and the chain of modules in short. */
function factsOf({ spec, head, pipeline }: ModelDescription): Record<string, unknown> {
  const steps = pipeline?.steps.map((step) =>
    step.kind === 'dense' ? `${step.inFeatures} to ${step.outFeatures} ${step.activation}` : step.kind,
  );
  return {
    ...specFacts(spec),
    eps: spec.norm.eps,
    ...headFacts(head),
    ...(pipeline && { limit: textLimit(spec, pipeline.maxSeqLength) }),
    chain: pipeline && [...pipeline.pooling, ...steps!].join(', '),
    prompts: pipeline?.prompts,
  };
}

const bert = (layers: number, hiddenSize: number, heads: number) => ({
  ...{
    layers,
    hiddenSize,
    heads,
    attention: `full x ${layers}`,
    mlp: 'plain',
    activation: 'gelu',
    eps: 1e-12,
  },
  positions: 'table of 512 from 0',
});
const modern = 'full x 8; 64 before, 64 after x 14';
const turn = (theta: number, dim = 64) => Math.round(2 * Math.PI * theta ** ((dim - 2) / dim));
const rope = (theta: number, dim = 64) => `rope of ${dim}, slowest turn ${turn(theta, dim)} tokens`;
/** Alibaba's fixed NTK scaling: base times factor, frequencies divided by factor^(2 / dim). */
const ntk = (theta: number, factor: number) =>
  `rope of 64, slowest turn ${Math.round(2 * Math.PI * (theta * factor) ** (62 / 64) * factor ** (2 / 64))} tokens`;
const oneLabel = { head: 'sequence-classification', labels: ['LABEL_0'], logits: 'B x 1' };

test.each<[string, Record<string, unknown>]>([
  ['all-MiniLM-L6-v2', { ...bert(6, 384, 12), chain: 'mean, normalize', limit: 256, tokenTypes: 2 }],
  ['paraphrase-multilingual-MiniLM-L12-v2', { ...bert(12, 384, 12), chain: 'mean', limit: 128 }],
  ['multilingual-e5-small', { ...bert(12, 384, 12), vocabSize: 250037, chain: 'mean, normalize' }],
  ['bert-base-uncased', { ...bert(12, 768, 12), head: 'masked-lm' }],
  ['bert-base-NER', { ...bert(12, 768, 12), head: 'token-classification' }],
  ['finbert', { head: 'sequence-classification', labels: ['positive', 'negative', 'neutral'] }],
  ['LaBSE', { ...bert(12, 768, 12), chain: 'cls, 768 to 768 tanh, normalize', limit: 256 }],
  ['bge-large-en-v1.5', { ...bert(24, 1024, 16), chain: 'cls, normalize' }],
  [
    'mxbai-embed-large-v1',
    {
      ...bert(24, 1024, 16),
      chain: 'cls',
      limit: 512,
      prompts: { query: 'Represent this sentence for searching relevant passages: ', passage: '' },
    },
  ],
  ['snowflake-arctic-embed-l', { ...bert(24, 1024, 16), chain: 'cls, normalize' }],
  ['ms-marco-MiniLM-L6-v2', { ...bert(6, 384, 12), ...oneLabel }],
  [
    'distilbert-base-uncased-finetuned-sst-2-english',
    { layers: 6, tokenTypes: 0, labels: ['NEGATIVE', 'POSITIVE'], headReads: 'the first token' },
  ],
  ['roberta-base', { positions: 'table of 514 from 2', tokenTypes: 1, eps: 1e-5, head: 'masked-lm' }],
  ['camembert-base', { positions: 'table of 514 from 2', vocabSize: 32005 }],
  [
    'bge-m3',
    { layers: 24, positions: 'table of 8194 from 2', maxLength: 8192, chain: 'cls, normalize', limit: 8192 },
  ],
  ['bge-reranker-v2-m3', { layers: 24, ...oneLabel, headSteps: 'dense 1024 to 1024 tanh, dense 1024 to 1' }],
  ['multilingual-e5-large', { layers: 24, limit: 512, chain: 'mean, normalize' }],
  [
    'all-mpnet-base-v2',
    { positions: 'table of 514 from 2; relative', tokenTypes: 0, limit: 384, chain: 'mean, normalize' },
  ],
  ['deberta-v3-base', { positions: 'disentangled', tokenTypes: 0, eps: 1e-7, maxLength: 512 }],
  [
    'nli-deberta-v3-base',
    { positions: 'disentangled', labels: ['contradiction', 'entailment', 'neutral'], logits: 'B x 3' },
  ],
  ['mxbai-rerank-base-v1', { ...oneLabel, headSteps: 'dense 768 to 768 gelu, dense 768 to 1' }],
  ['deberta-v2-xlarge', { layers: 24, heads: 24, convolution: { kernel: 3, activation: 'gelu', groups: 1 } }],
  ['deberta-base', { positions: 'disentangled', vocabSize: 50265 }],
  [
    'ModernBERT-base',
    { attention: modern, positions: `${rope(160_000)}; ${rope(10_000)}`, mlp: 'glu', maxLength: 8192 },
  ],
  [
    'ModernBERT-base (transformers 5)',
    { attention: modern, positions: `${rope(160_000)}; ${rope(10_000)}`, eps: 1e-5 },
  ],
  ['mmBERT-base', { attention: modern, positions: `${rope(160_000)}; ${rope(160_000)}`, vocabSize: 256_000 }],
  ['gte-modernbert-base', { attention: modern, chain: 'cls', limit: 8192 }],
  [
    'nomic-embed-text-v1.5',
    { positions: rope(1000), mlp: 'glu', activation: 'silu', tokenTypes: 2, chain: 'mean', limit: 8192 },
  ],
  ['gte-base-en-v1.5', { positions: ntk(500_000, 2), tokenTypes: 0, mlp: 'glu', chain: 'cls' }],
  [
    'gte-multilingual-base',
    { positions: ntk(20_000, 8), tokenTypes: 1, head: null, chain: 'cls, normalize', vocabSize: 250_048 },
  ],
  [
    'gte-multilingual-reranker-base',
    { positions: ntk(20_000, 8), ...oneLabel, headSteps: 'dense 768 to 768 tanh, dense 768 to 1' },
  ],
  [
    'snowflake-arctic-embed-m-v2.0',
    { positions: rope(160_000), tokenTypes: 1, chain: 'cls, normalize', prompts: { query: 'query: ' } },
  ],
  [
    'jina-embeddings-v2-base-en',
    { positions: 'alibi', mlp: 'glu', activation: 'gelu', chain: 'mean', limit: 8192 },
  ],
  [
    'jina-embeddings-v3',
    {
      positions: rope(20_000),
      taskAdapters: 'retrieval.query, retrieval.passage, separation, classification, text-matching of rank 4',
      chain: 'mean, normalize',
      limit: 8194,
    },
  ],
  [
    'albert-base-v2',
    { layers: 12, distinctLayers: 1, embeddingSize: 128, activation: 'gelu_tanh', head: 'masked-lm' },
  ],
  ['electra-small-discriminator', { ...bert(12, 256, 4), embeddingSize: 128 }],
  ['ernie-3.0-base-zh', { positions: 'table of 2048 from 0', tokenTypes: 4 }],
  ['splade-v3', { ...bert(12, 768, 12), head: 'masked-lm', logits: 'T x 30522' }],
  ['opensearch-neural-sparse-encoding-doc-v2-distill', { layers: 6, head: 'masked-lm' }],
  [
    'Qwen3-Embedding-0.6B',
    {
      ...{ layers: 28, heads: 16, keyValueHeads: 8, headDim: 128, queryKeyNorm: true, eps: 1e-6 },
      attention: 'all before, 0 after x 28',
      positions: rope(1_000_000, 128),
      chain: 'lasttoken, normalize',
      limit: 32768,
    },
  ],
  ['Qwen3-Reranker-0.6B', { head: 'causal-lm', logits: 'T x 151669', attention: 'all before, 0 after x 28' }],
  ['Qwen3-Reranker-0.6B-seq-cls', { ...oneLabel, headReads: 'the last token', headSteps: 'dense 1024 to 1' }],
  [
    'e5-mistral-7b-instruct',
    {
      ...{ layers: 32, hiddenSize: 4096, keyValueHeads: 8, headDim: 128, eps: 1e-5 },
      attention: '4095 before, 0 after x 32',
      positions: rope(10_000, 128),
      chain: 'lasttoken, normalize',
      limit: 4096,
    },
  ],
  [
    'embeddinggemma-300m',
    {
      ...{
        layers: 24,
        heads: 3,
        keyValueHeads: 1,
        headDim: 256,
        queryKeyNorm: true,
        activation: 'gelu_tanh',
      },
      attention: '256 before, 256 after x 20; full x 4',
      positions: `${rope(1_000_000, 256)}; ${rope(10_000, 256)}`,
      chain: 'mean, 768 to 3072 none, 3072 to 768 none, normalize',
      limit: 2048,
    },
  ],
  ['EuroBERT-210m', { layers: 12, positions: rope(250_000), activation: 'silu', attention: 'full x 12' }],
  [
    'sentence-t5-base',
    { positions: 'relative', activation: 'relu', chain: 'mean, 768 to 768 none, normalize', limit: 256 },
  ],
  ['gtr-t5-base', { layers: 12, headDim: 64, chain: 'mean, 768 to 768 none, normalize', limit: 512 }],
])('%s', async (name, facts) => {
  expect(factsOf(await describeModel(directoryOf(name)))).toMatchObject(facts);
});

const compact = [2, 4, 6, 8, 10, 12].flatMap((layers) =>
  [128, 256, 512, 768].map((hiddenSize): [number, number] => [layers, hiddenSize]),
);
test.each(compact)(
  'bert_uncased_L-%d_H-%d, whose config.json names no model_type',
  async (layers, hidden) => {
    const { files } = published['bert_uncased_L-2_H-128_A-2']!;
    const config = {
      ...files['config.json'],
      ...{ num_hidden_layers: layers, hidden_size: hidden, num_attention_heads: hidden / 64 },
      intermediate_size: 4 * hidden,
    };
    const facts = factsOf(
      await describeModel(directoryOf('bert_uncased_L-2_H-128_A-2', { 'config.json': config })),
    );
    expect(facts).toMatchObject({ ...bert(layers, hidden, hidden / 64), headDim: 64 });
  },
);

test('a config.json without model_type that says more or less than BERT’s first one is refused', async () => {
  const { files } = published['bert_uncased_L-2_H-128_A-2']!;
  const name = 'bert_uncased_L-2_H-128_A-2';
  const less = Object.fromEntries(
    Object.entries(files['config.json']!).filter(([key]) => key !== 'vocab_size'),
  );
  for (const config of [less, { ...files['config.json'], embedding_size: 128 }]) {
    await expectError(() => describeModel(directoryOf(name, { 'config.json': config })), {
      code: 'E_BAD_CONFIG',
      field: 'model_type',
    });
  }
});

test.each([
  ['ms-marco-MiniLM-L6-v2', 'none'],
  ['bge-reranker-v2-m3', 'sigmoid'],
  ['mxbai-rerank-base-v1', 'sigmoid'],
  ['gte-multilingual-reranker-base', 'sigmoid'],
])('%s: a score is the logit after %s', async (name, activation) => {
  const { directory, config } = await describeModel(directoryOf(name));
  expect(await readCrossEncoder(directory, config)).toMatchObject({ activation });
});

test('mxbai-rerank-base-v2 is refused: nothing here knows Qwen2, nor the question it is asked', () =>
  expectError(() => describeModel(directoryOf('mxbai-rerank-base-v2')), {
    code: 'E_UNSUPPORTED',
    field: 'model_type',
  }));

test('GTE-ModernColBERT-v1', async () => {
  const { description, query, document } = await describeLateInteraction(directoryOf('GTE-ModernColBERT-v1'));
  expect(factsOf(description)).toMatchObject({ attention: modern });
  expect(query).toEqual({
    marker: '[Q] ',
    maxLength: 32,
    expansion: { length: 32, fixed: true, attend: false },
  });
  expect(document).toMatchObject({ marker: '[D] ', maxLength: 300 });
  expect(document.skipped).toHaveLength(32);
  expect(description.projections[0]!.head.width).toBe(128);
});

test('every directory of the file is tested; two more are, with weights, in test/e2e/published.test.ts', () => {
  const others = Object.keys(published).filter((name) => !seen.has(name));
  expect(others).toEqual(['jina-colbert-v2', 'answerai-colbert-small-v1']);
});
