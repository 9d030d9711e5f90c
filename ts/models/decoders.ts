import type { Reader } from './reader';
import { readRope } from './ropes';
import {
  declaredBias,
  llamaSizes,
  llamaSpec,
  readSizes,
  refuseUnless,
  slidingLayers,
  withRope,
} from './sizes';
import type { EncoderSpec, Family, LayerSpec } from './spec';
import { headNorms, llamaWeights } from './weight_tables';

/** What would make a decoder something else than a causal one of its own model type. */
const otherMaths = { auto_map: [], is_causal: [true], use_bidirectional_attention: [false] };

/** Causal layers; `window` counts a token and those before it that it sees, 0 for all. */
export function causal(layers: readonly LayerSpec[], window: (layer: number) => number): LayerSpec[] {
  return layers.map((layer, i) => {
    const seen = window(i);
    return { ...layer, causal: true, windowLeft: seen > 0 ? seen - 1 : -1 };
  });
}

/** The window of each layer: those listed, or those from `max_window_layers` on. */
function qwenWindow(field: Reader, layers: number): (layer: number) => number {
  const isUsed = field.boolean('use_sliding_window', false);
  const first = field.integer('max_window_layers', { min: 0 }, 28);
  const window = field.integer('sliding_window', { min: 1 }, 4096);
  const sliding = slidingLayers(field, layers, (i) => isUsed && i >= first);
  if (!sliding.includes(true)) return () => 0;
  if (!isUsed) {
    throw field.error('use_sliding_window', 'is false, but "layer_types" lists "sliding_attention"');
  }
  return (layer) => (sliding[layer] ? window : 0);
}

function qwen3Spec(field: Reader): EncoderSpec {
  refuseUnless(field, otherMaths);
  const given = readSizes(field, { activation: 'silu', eps: 1e-6 }, llamaSizes);
  const sizes = { ...given, headDim: field.integer('head_dim', { min: 1 }, 128) };
  const spec = llamaSpec(field, sizes);
  const layers = causal(spec.layers, qwenWindow(field, sizes.layers));
  return {
    ...spec,
    queryKeyNorm: true,
    ...withRope(layers, readRope(field, { headDim: sizes.headDim })),
  };
}

/** Qwen3 and its embedding models (arXiv:2506.05176): causal, shared key-value heads, normed query and key heads. */
export const qwen3: Family = {
  modelTypes: ['qwen3'],
  spec: qwen3Spec,
  prefixes: ['model.'],
  hasBias: declaredBias,
  weights: { ...llamaWeights, ...headNorms },
  ignored: [],
};

function mistralSpec(field: Reader): EncoderSpec {
  refuseUnless(field, { ...otherMaths, layer_types: [] });
  const sizes = readSizes(field, { activation: 'silu', eps: 1e-6 }, llamaSizes);
  const spec = llamaSpec(field, sizes);
  // transformers' default is 4096; null means none.
  const isUnlimited = field.keys().includes('sliding_window') && !field.has('sliding_window');
  const window = isUnlimited ? 0 : field.integer('sliding_window', { min: 1 }, 4096);
  const layers = causal(spec.layers, () => window);
  return { ...spec, ...withRope(layers, readRope(field, { headDim: sizes.headDim })) };
}

/** Mistral (arXiv:2310.06825) and the embedding models made of it, such as E5-Mistral. */
export const mistral: Family = {
  modelTypes: ['mistral'],
  spec: mistralSpec,
  prefixes: ['model.'],
  hasBias: declaredBias,
  weights: llamaWeights,
  ignored: [],
};
