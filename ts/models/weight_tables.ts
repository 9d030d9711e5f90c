import type { WeightTable } from './spec';

/** A norm; `gamma` and `beta` are names of TensorFlow's days. */
export const norm = (checkpoint: string, padless: string): WeightTable => ({
  [`${checkpoint}.weight`]: `${padless}.gamma`,
  [`${checkpoint}.bias`]: `${padless}.beta`,
  [`${checkpoint}.gamma`]: `${padless}.gamma`,
  [`${checkpoint}.beta`]: `${padless}.beta`,
});

export const linear = (checkpoint: string, padless: string): WeightTable => ({
  [`${checkpoint}.weight`]: `${padless}.weight`,
  [`${checkpoint}.bias`]: `${padless}.bias`,
});

/** A linear layer that has no bias. */
export const plain = (checkpoint: string, padless: string): WeightTable => ({
  [`${checkpoint}.weight`]: `${padless}.weight`,
});

/** Equal parts of a tensor's rows, in order. */
const rowParts = (checkpoint: string, padless: readonly string[], kind: 'weight' | 'bias'): WeightTable => ({
  [`${checkpoint}.${kind}`]: padless.map((name, index) => ({
    name: `${name}.${kind}`,
    index,
    parts: padless.length,
    groups: 1,
  })),
});

/** Equal parts of one linear layer's outputs, in order, without a bias. */
export const packedPlain = (checkpoint: string, padless: readonly string[]): WeightTable =>
  rowParts(checkpoint, padless, 'weight');

/** Equal parts of one linear layer's outputs, in order. */
export const packed = (checkpoint: string, padless: readonly string[]): WeightTable => ({
  ...rowParts(checkpoint, padless, 'weight'),
  ...rowParts(checkpoint, padless, 'bias'),
});

/** padless's names of a layer's products. */
export const query = 'layers.{i}.attention.query';
export const key = 'layers.{i}.attention.key';
export const value = 'layers.{i}.attention.value';
export const output = 'layers.{i}.attention.output';
export const attentionNorm = 'layers.{i}.attention.norm';
export const gate = 'layers.{i}.mlp.gate';
export const up = 'layers.{i}.mlp.up';
export const down = 'layers.{i}.mlp.down';
export const mlpNorm = 'layers.{i}.mlp.norm';

/** Tables and norm of BERT-like embeddings. */
export const bertEmbeddings: WeightTable = {
  'embeddings.word_embeddings.weight': 'embeddings.word',
  'embeddings.position_embeddings.weight': 'embeddings.position',
  'embeddings.token_type_embeddings.weight': 'embeddings.tokenType',
  ...norm('embeddings.LayerNorm', 'embeddings.norm'),
};

/** What follows the attention's weighted sum in BERT-like layers. */
export const bertBlocks = (layer: string): WeightTable => ({
  ...linear(`${layer}.attention.output.dense`, output),
  ...norm(`${layer}.attention.output.LayerNorm`, attentionNorm),
  ...linear(`${layer}.intermediate.dense`, up),
  ...linear(`${layer}.output.dense`, down),
  ...norm(`${layer}.output.LayerNorm`, mlpNorm),
});

/** Llama's names, which EuroBERT, Qwen3, Mistral and Gemma have. */
export const llamaWeights: WeightTable = {
  'embed_tokens.weight': 'embeddings.word',
  ...linear('layers.{i}.self_attn.q_proj', query),
  ...linear('layers.{i}.self_attn.k_proj', key),
  ...linear('layers.{i}.self_attn.v_proj', value),
  ...linear('layers.{i}.self_attn.o_proj', output),
  ...linear('layers.{i}.mlp.gate_proj', gate),
  ...linear('layers.{i}.mlp.up_proj', up),
  ...linear('layers.{i}.mlp.down_proj', down),
  'layers.{i}.input_layernorm.weight': `${attentionNorm}.gamma`,
  'layers.{i}.post_attention_layernorm.weight': `${mlpNorm}.gamma`,
  'norm.weight': 'norm.gamma',
};

/** Gains of each query and key head. */
export const headNorms: WeightTable = {
  'layers.{i}.self_attn.q_norm.weight': 'layers.{i}.attention.queryNorm.gamma',
  'layers.{i}.self_attn.k_norm.weight': 'layers.{i}.attention.keyNorm.gamma',
};
