import { causal } from './decoders';
import type { Reader } from './reader';
import { readRope } from './ropes';
import { declaredBias, llamaSizes, llamaSpec, readSizes, refuseUnless, slidingLayers } from './sizes';
import type { EncoderSpec, Family, LayerSpec } from './spec';
import { headNorms, llamaWeights } from './weight_tables';

function spec(field: Reader): EncoderSpec {
  refuseUnless(field, { auto_map: [], attn_logit_softcapping: [] });
  const given = readSizes(
    field,
    { activation: 'gelu_pytorch_tanh', eps: 1e-6 },
    { ...llamaSizes, activation: 'hidden_activation' },
  );
  const sizes = { ...given, headDim: field.integer('head_dim', { min: 1 }, 256) };
  const { headDim } = sizes;
  const base = llamaSpec(field, sizes);
  const every = field.integer(['sliding_window_pattern', '_sliding_window_pattern'], { min: 1 }, 6);
  const windowed = slidingLayers(field, sizes.layers, (i) => (i + 1) % every !== 0);
  const window = field.integer('sliding_window', { min: 1 }, 4096);
  const bothWays = (layer: LayerSpec, i: number) => {
    const reach = windowed[i] ? Math.floor(window / 2) : -1;
    return { ...layer, windowLeft: reach, windowRight: reach };
  };
  const layers = field.boolean('use_bidirectional_attention', false)
    ? base.layers.map(bothWays)
    : causal(base.layers, (i) => (windowed[i] ? window : 0));
  return {
    ...base,
    attentionScale: field.number('query_pre_attn_scalar', 256, { min: Number.MIN_VALUE }) ** -0.5,
    embeddings: { ...base.embeddings, wordScale: Math.sqrt(sizes.hiddenSize) },
    norm: { ...base.norm, placement: 'sandwich', gainMinusOne: true },
    queryKeyNorm: true,
    ropes: [
      readRope(field, { headDim, layerType: 'full_attention', theta: 1_000_000 }),
      readRope(field, {
        headDim,
        layerType: 'sliding_attention',
        theta: 10_000,
        thetaNames: ['rope_local_base_freq'],
        hasOldScaling: false,
      }),
    ],
    layers: layers.map((layer, i) => ({ ...layer, rope: windowed[i] ? 1 : 0 })),
  };
}

/** Gemma 3's text model (arXiv:2503.19786) and EmbeddingGemma (arXiv:2509.20354), which attends both ways. */
export const gemma3: Family = {
  modelTypes: ['gemma3_text'],
  spec,
  prefixes: ['model.'],
  hasBias: declaredBias,
  weights: {
    ...llamaWeights,
    ...headNorms,
    'layers.{i}.post_attention_layernorm.weight': 'layers.{i}.attention.resultNorm.gamma',
    'layers.{i}.pre_feedforward_layernorm.weight': 'layers.{i}.mlp.norm.gamma',
    'layers.{i}.post_feedforward_layernorm.weight': 'layers.{i}.mlp.resultNorm.gamma',
  },
  ignored: [],
};
