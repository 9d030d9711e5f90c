import { activationOf } from './activations';
import type { Reader } from './reader';
import { fullLayers, type Activation, type EncoderSpec, type LayerSpec, type RopeSpec } from './spec';

/** The keys of the sizes in config.json. */
export interface SizeNames {
  hiddenSize: string;
  heads: string;
  layers: string;
  intermediateSize: string;
  activation: string;
  eps: string;
  /** Where heads need not share the hidden size. */
  headDim?: string;
}

/** BERT's, and those of most families after it. */
export const bertSizes: SizeNames = {
  hiddenSize: 'hidden_size',
  heads: 'num_attention_heads',
  layers: 'num_hidden_layers',
  intermediateSize: 'intermediate_size',
  activation: 'hidden_act',
  eps: 'layer_norm_eps',
};

/** Llama's, and those of most decoders. */
export const llamaSizes: SizeNames = { ...bertSizes, eps: 'rms_norm_eps', headDim: 'head_dim' };

/** Far beyond any model: tables are made by these sizes before any weight contradicts them. */
export const MOST = {
  hiddenSize: 2 ** 20,
  heads: 2 ** 14,
  headDim: 2 ** 16,
  layers: 1024,
  intermediateSize: 2 ** 24,
  vocabSize: 2 ** 31 - 1,
} as const;

/** What every family has; `eps` is that of all norms. */
export interface Sizes {
  hiddenSize: number;
  heads: number;
  headDim: number;
  layers: number;
  intermediateSize: number;
  vocabSize: number;
  activation: Activation;
  eps: number;
  trainedLength: number | undefined;
}

/** Reads the sizes; E_BAD_CONFIG where the heads do not share the hidden size evenly. */
export function readSizes(
  field: Reader,
  defaults: { activation: string; eps: number },
  names = bertSizes,
): Sizes {
  const hiddenSize = field.integer(names.hiddenSize, { min: 1, max: MOST.hiddenSize });
  const heads = field.integer(names.heads, { min: 1, max: MOST.heads });
  const headDim = names.headDim
    ? field.optionalInteger(names.headDim, { min: 1, max: MOST.headDim })
    : undefined;
  if (headDim === undefined && hiddenSize % heads !== 0) {
    throw field.error(names.heads, `${heads} does not divide "${names.hiddenSize}" ${hiddenSize}`);
  }
  return {
    hiddenSize,
    heads,
    headDim: headDim ?? hiddenSize / heads,
    layers: field.integer(names.layers, { min: 0, max: MOST.layers }),
    intermediateSize: field.integer(names.intermediateSize, { min: 1, max: MOST.intermediateSize }),
    vocabSize: field.integer('vocab_size', { min: 1, max: MOST.vocabSize }),
    activation: activationOf(field, names.activation, defaults.activation),
    eps: field.number(names.eps, defaults.eps, { min: 0 }),
    trainedLength: field.optionalInteger(['max_position_embeddings', 'n_positions'], { min: 1 }),
  };
}

/** BERT's shape without positions and token types, for a family to change. */
export function postNormSpec(sizes: Sizes): EncoderSpec {
  return {
    hiddenSize: sizes.hiddenSize,
    heads: sizes.heads,
    kvHeads: sizes.heads,
    headDim: sizes.headDim,
    attentionScale: 1 / Math.sqrt(sizes.headDim),
    vocabSize: sizes.vocabSize,
    embeddings: {
      width: sizes.hiddenSize,
      projection: false,
      wordScale: 1,
      norm: true,
      normAfterProjection: false,
      addedRows: 0,
    },
    positions: { rows: 0, offset: 0 },
    tokenTypes: 0,
    norm: { kind: 'layer', eps: sizes.eps, placement: 'post', bias: true, gainMinusOne: false, final: false },
    queryKeyNorm: false,
    mlp: { kind: 'plain', activation: sizes.activation, intermediateSize: sizes.intermediateSize },
    ropes: [],
    layers: fullLayers(sizes.layers),
    ...(sizes.trainedLength !== undefined && { trainedLength: sizes.trainedLength }),
    pooler: false,
  };
}

/** Llama's shape: RMS norms before each block and at the end, SwiGLU, shared key-value heads. */
export function llamaSpec(field: Reader, sizes: Sizes): EncoderSpec {
  const spec = postNormSpec(sizes);
  const kvHeads = field.integer('num_key_value_heads', { min: 1 }, sizes.heads);
  if (sizes.heads % kvHeads !== 0) {
    throw field.error(
      'num_key_value_heads',
      `${kvHeads} does not divide "num_attention_heads" ${sizes.heads}`,
    );
  }
  return {
    ...spec,
    kvHeads,
    embeddings: { ...spec.embeddings, norm: false },
    norm: { ...spec.norm, kind: 'rms', placement: 'pre', bias: false, final: true },
    mlp: { ...spec.mlp, kind: 'glu' },
  };
}

/** Config keys that say which products have biases; none has any by default. */
export function declaredBias(target: string, field: Reader): boolean {
  return field.boolean(target.includes('.attention.') ? 'attention_bias' : 'mlp_bias', false);
}

/** Layers that all turn queries and keys by the only rope. */
export function withRope(
  layers: readonly LayerSpec[],
  rope: RopeSpec,
): Pick<EncoderSpec, 'layers' | 'ropes'> {
  return { ropes: [rope], layers: layers.map((layer) => ({ ...layer, rope: 0 })) };
}

/** Which layers attend within a sliding window: as `layer_types` lists them, or else by the rule. */
export function slidingLayers(field: Reader, count: number, rule: (layer: number) => boolean): boolean[] {
  if (!field.has('layer_types')) return Array.from({ length: count }, (_, i) => rule(i));
  const types = field.listOf('layer_types', ['full_attention', 'sliding_attention']);
  if (types.length !== count) {
    throw field.error('layer_types', `lists ${types.length} layers; "num_hidden_layers" is ${count}`);
  }
  return types.map((type) => type === 'sliding_attention');
}

/** Refuses a field that has another value than those whose maths is known here; absent is fine. */
export function refuseUnless(field: Reader, known: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [name, values] of Object.entries(known)) {
    const value = field.raw(name);
    if (value === undefined || values.includes(value)) continue;
    const words = values.map((word) => JSON.stringify(word)).join(' or ');
    throw field.error(name, `is ${JSON.stringify(value)}; only ${words} is supported`, 'E_UNSUPPORTED');
  }
}

/** Refuses decoders, and checkpoints whose own repository brings the code. */
export function refuseDecodersAndRemoteCode(field: Reader): void {
  refuseUnless(field, { is_decoder: [false], add_cross_attention: [false] });
  if (field.has('auto_map')) {
    throw field.error(
      'auto_map',
      'says that this model runs code of its own repository, which may compute something else than its model_type',
      'E_UNSUPPORTED',
    );
  }
}
