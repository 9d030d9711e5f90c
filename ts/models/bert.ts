import { PadlessError } from '../errors';
import { activationOf } from './activations';
import type { Reader } from './reader';
import { fullLayers, type EncoderSpec, type Family } from './spec';

/** Refuses what would make a BERT-shaped config compute something else. */
function refuseOtherMaths(field: Reader): void {
  field.oneOf('position_embedding_type', ['absolute'], 'absolute');
  for (const key of ['is_decoder', 'add_cross_attention']) {
    if (field.boolean(key, false)) {
      throw new PadlessError('E_UNSUPPORTED', `config.json: "${key}" is true; only encoders are run.`, {
        field: key,
      });
    }
  }
  if (field.has('auto_map')) {
    throw new PadlessError(
      'E_UNSUPPORTED',
      'config.json: "auto_map" says that this model runs code of its own repository, which may compute something else than its model_type.',
      { field: 'auto_map' },
    );
  }
}

/** Every field that BERT and its descendants share. */
export function bertSpec(field: Reader): Omit<EncoderSpec, 'positions'> {
  refuseOtherMaths(field);
  const hiddenSize = field.integer('hidden_size', { min: 1 });
  const heads = field.integer('num_attention_heads', { min: 1 });
  if (hiddenSize % heads !== 0) {
    throw new PadlessError(
      'E_BAD_CONFIG',
      `config.json: "hidden_size" ${hiddenSize} is not a multiple of "num_attention_heads" ${heads}.`,
      { field: 'num_attention_heads' },
    );
  }
  const headDim = hiddenSize / heads;
  return {
    hiddenSize,
    heads,
    kvHeads: heads,
    headDim,
    attentionScale: 1 / Math.sqrt(headDim),
    vocabSize: field.integer('vocab_size', { min: 1 }),
    embeddings: { width: hiddenSize, projection: false, wordScale: 1, norm: true, addedRows: 0 },
    tokenTypes: field.integer('type_vocab_size', { min: 1 }, 2),
    norm: {
      kind: 'layer',
      eps: field.number('layer_norm_eps', 1e-12),
      placement: 'post',
      bias: true,
      gainMinusOne: false,
      final: false,
    },
    queryKeyNorm: false,
    mlp: {
      kind: 'plain',
      activation: activationOf(field, 'hidden_act', 'gelu'),
      intermediateSize: field.integer('intermediate_size', { min: 1 }),
    },
    ropes: [],
    layers: fullLayers(field.integer('num_hidden_layers', { min: 0, max: 1024 })),
    pooler: false,
  };
}

const norms = (checkpoint: string, padless: string): Record<string, string> => ({
  [`${checkpoint}.weight`]: `${padless}.gamma`,
  [`${checkpoint}.bias`]: `${padless}.beta`,
  [`${checkpoint}.gamma`]: `${padless}.gamma`,
  [`${checkpoint}.beta`]: `${padless}.beta`,
});

const linear = (checkpoint: string, padless: string): Record<string, string> => ({
  [`${checkpoint}.weight`]: `${padless}.weight`,
  [`${checkpoint}.bias`]: `${padless}.bias`,
});

const layer = 'encoder.layer.{i}';

/** Tensor names of BERT; RoBERTa and its kin have the same. `gamma`/`beta` are names of TensorFlow's days. */
export const bertWeights: Readonly<Record<string, string>> = {
  'embeddings.word_embeddings.weight': 'embeddings.word',
  'embeddings.position_embeddings.weight': 'embeddings.position',
  'embeddings.token_type_embeddings.weight': 'embeddings.tokenType',
  ...norms('embeddings.LayerNorm', 'embeddings.norm'),
  ...linear(`${layer}.attention.self.query`, 'layers.{i}.attention.query'),
  ...linear(`${layer}.attention.self.key`, 'layers.{i}.attention.key'),
  ...linear(`${layer}.attention.self.value`, 'layers.{i}.attention.value'),
  ...linear(`${layer}.attention.output.dense`, 'layers.{i}.attention.output'),
  ...norms(`${layer}.attention.output.LayerNorm`, 'layers.{i}.attention.norm'),
  ...linear(`${layer}.intermediate.dense`, 'layers.{i}.mlp.up'),
  ...linear(`${layer}.output.dense`, 'layers.{i}.mlp.down'),
  ...norms(`${layer}.output.LayerNorm`, 'layers.{i}.mlp.norm'),
  ...linear('pooler.dense', 'pooler'),
};

/** Buffers that old versions of transformers wrote beside the weights. */
export const bertBuffers = ['embeddings.position_ids', 'embeddings.token_type_ids'] as const;

/** BERT (arXiv:1810.04805): absolute positions, token types, post-norm; MiniLM, E5, BGE, LaBSE, the compact BERTs. */
export const bert: Family = {
  modelTypes: ['bert'],
  spec: (field) => ({
    ...bertSpec(field),
    positions: { rows: field.integer('max_position_embeddings', { min: 1 }), offset: 0 },
  }),
  prefixes: ['bert.'],
  weights: bertWeights,
  ignored: bertBuffers,
};
