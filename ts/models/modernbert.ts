import {
  declaredBias,
  postNormSpec,
  bertSizes,
  readSizes,
  refuseDecodersAndRemoteCode,
  slidingLayers,
} from './sizes';
import type { Reader } from './reader';
import { readRope } from './ropes';
import type { EncoderSpec, Family } from './spec';
import {
  attentionNorm,
  down,
  gate,
  key,
  linear,
  mlpNorm,
  norm,
  output,
  packed,
  query,
  up,
  value,
} from './weight_tables';

function spec(field: Reader): EncoderSpec {
  refuseDecodersAndRemoteCode(field);
  // No position table whatever this says; mmBERT and Ettin carry the word of the code that they were trained with.
  field.oneOf('position_embedding_type', ['absolute', 'sans_pos'], 'absolute');
  const sizes = readSizes(
    field,
    { activation: 'gelu', eps: 1e-5 },
    { ...bertSizes, activation: 'hidden_activation', eps: 'norm_eps' },
  );
  const base = postNormSpec(sizes);
  const globalKeys = ['global_rope_theta'];
  // transformers 4 wrote null where local layers turn as global ones.
  const hasNoLocal = field.keys().includes('local_rope_theta') && !field.has('local_rope_theta');
  const localKeys = hasNoLocal ? globalKeys : ['local_rope_theta'];
  const { headDim } = sizes;
  const every = field.integer('global_attn_every_n_layers', { min: 1 }, 3);
  const isLocal = slidingLayers(field, sizes.layers, (i) => i % every !== 0);
  const reach = Math.floor(field.integer('local_attention', { min: 1 }, 128) / 2);
  return {
    ...base,
    norm: {
      ...base.norm,
      placement: 'pre',
      bias: field.boolean('norm_bias', false),
      final: true,
    },
    mlp: { ...base.mlp, kind: 'glu' },
    ropes: [
      readRope(field, { headDim, layerType: 'full_attention', theta: 160_000, thetaNames: globalKeys }),
      readRope(field, {
        headDim,
        layerType: 'sliding_attention',
        theta: hasNoLocal ? 160_000 : 10_000,
        thetaNames: localKeys,
      }),
    ],
    layers: base.layers.map((layer, i) => ({
      ...layer,
      ...(isLocal[i] && { windowLeft: reach, windowRight: reach }),
      rope: isLocal[i] ? 1 : 0,
      // The norm of the embeddings serves the first layer too.
      attentionNorm: i > 0,
    })),
  };
}

/**
 * ModernBERT (arXiv:2412.13663), Ettin, mmBERT: pre-norm, GeGLU, rope, full attention every third layer and a
 * sliding window between. Config keys of transformers 4 and 5.
 */
export const modernBert: Family = {
  modelTypes: ['modernbert'],
  spec,
  prefixes: ['model.'],
  hasBias: declaredBias,
  weights: {
    'embeddings.tok_embeddings.weight': 'embeddings.word',
    ...norm('embeddings.norm', 'embeddings.norm'),
    ...norm('layers.{i}.attn_norm', attentionNorm),
    ...packed('layers.{i}.attn.Wqkv', [query, key, value]),
    ...linear('layers.{i}.attn.Wo', output),
    ...norm('layers.{i}.mlp_norm', mlpNorm),
    ...packed('layers.{i}.mlp.Wi', [gate, up]),
    ...linear('layers.{i}.mlp.Wo', down),
    ...norm('final_norm', 'norm'),
  },
  ignored: [],
};
