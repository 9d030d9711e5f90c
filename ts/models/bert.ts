import type { Reader } from './reader';
import { postNormSpec, readSizes, refuseDecodersAndRemoteCode } from './sizes';
import type { EncoderSpec, Family, WeightTable } from './spec';
import { bertBlocks, bertEmbeddings, key, linear, query, value } from './weight_tables';

/** Every field that BERT and its descendants share, positions apart; they differ in what a missing activation is. */
export function bertSpec(field: Reader, activation = 'gelu'): EncoderSpec {
  field.oneOf('position_embedding_type', ['absolute'], 'absolute');
  refuseDecodersAndRemoteCode(field);
  return {
    ...postNormSpec(readSizes(field, { activation, eps: 1e-12 })),
    tokenTypes: field.integer('type_vocab_size', { min: 1 }, 2),
  };
}

/** A position table that starts at row 0. */
export function absolutePositions(field: Reader): EncoderSpec['positions'] {
  return { rows: field.integer('max_position_embeddings', { min: 1 }), offset: 0 };
}

const layer = 'encoder.layer.{i}';

/** Tensor names of BERT; RoBERTa and its kin have the same. */
export const bertWeights: WeightTable = {
  ...bertEmbeddings,
  ...linear(`${layer}.attention.self.query`, query),
  ...linear(`${layer}.attention.self.key`, key),
  ...linear(`${layer}.attention.self.value`, value),
  ...bertBlocks(layer),
  ...linear('pooler.dense', 'pooler'),
};

/** Buffers that old versions of transformers wrote beside the weights. */
export const bertBuffers = ['embeddings.position_ids', 'embeddings.token_type_ids'] as const;

/** BERT (arXiv:1810.04805): absolute positions, token types, post-norm; MiniLM, E5, BGE, LaBSE, the compact BERTs. */
export const bert: Family = {
  modelTypes: ['bert'],
  spec: (field) => ({ ...bertSpec(field), positions: absolutePositions(field) }),
  prefixes: ['bert.'],
  weights: bertWeights,
  ignored: bertBuffers,
};
