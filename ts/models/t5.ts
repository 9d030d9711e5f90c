import { activationOf } from './activations';
import { relativeBuckets } from './mpnet';
import type { Reader } from './reader';
import { postNormSpec, readSizes, refuseDecodersAndRemoteCode, refuseUnless } from './sizes';
import type { EncoderSpec, Family } from './spec';
import { attentionNorm, down, gate, key, mlpNorm, output, plain, query, up, value } from './weight_tables';

const sizeNames = {
  hiddenSize: 'd_model',
  heads: 'num_heads',
  layers: 'num_layers',
  intermediateSize: 'd_ff',
  activation: 'dense_act_fn',
  eps: 'layer_norm_epsilon',
  headDim: 'd_kv',
};

/** The words of `feed_forward_proj` whose maths is known; of the gated GELU, T5 means the tanh approximation. */
const feedForwards = {
  relu: { kind: 'plain', activation: 'relu' },
  gelu: { kind: 'plain', activation: 'gelu' },
  'gated-gelu': { kind: 'glu', activation: 'gelu_new' },
  'gated-silu': { kind: 'glu', activation: 'silu' },
} as const;

function spec(field: Reader): EncoderSpec {
  refuseDecodersAndRemoteCode(field);
  const words = Object.keys(feedForwards) as (keyof typeof feedForwards)[];
  const { kind, activation } = feedForwards[field.oneOf('feed_forward_proj', words, 'relu')];
  // What newer files derive from it must not say anything else.
  refuseUnless(field, { dense_act_fn: [activation], is_gated_act: [kind === 'glu'] });
  const given = readSizes(field, { activation, eps: 1e-6 }, sizeNames);
  const sizes = { ...given, headDim: field.integer('d_kv', { min: 1 }, 64) };
  const tableRows = field.integer('relative_attention_num_buckets', { min: 4, max: 4096 }, 32);
  const reach = field.integer(
    'relative_attention_max_distance',
    { min: tableRows / 4 + 1, max: 2 ** 20 },
    128,
  );
  const base = postNormSpec(sizes);
  return {
    ...base,
    attentionScale: 1,
    embeddings: { ...base.embeddings, norm: false },
    norm: { ...base.norm, kind: 'rms', placement: 'pre', bias: false, final: true },
    mlp: { ...base.mlp, kind, activation: activationOf(field, 'dense_act_fn', activation) },
    bias: { kind: 'relative', tableRows, reach, rows: relativeBuckets(tableRows, reach) },
  };
}

const attention = 'encoder.block.{i}.layer.0.SelfAttention';
const feedForward = 'encoder.block.{i}.layer.1.DenseReluDense';

/**
 * The encoder of T5 (arXiv:1910.10683) and mT5, of which Sentence-T5 and GTR are made: pre-norm without means, no
 * biases, unscaled scores with a bias by relative position that all layers take from the first.
 */
export const t5: Family = {
  modelTypes: ['t5', 'mt5'],
  spec,
  prefixes: ['transformer.'],
  weights: {
    'shared.weight': 'embeddings.word',
    ...plain(`${attention}.q`, query),
    ...plain(`${attention}.k`, key),
    ...plain(`${attention}.v`, value),
    ...plain(`${attention}.o`, output),
    'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight': 'positions.relative',
    'encoder.block.{i}.layer.0.layer_norm.weight': `${attentionNorm}.gamma`,
    ...plain(`${feedForward}.wi`, up),
    ...plain(`${feedForward}.wi_0`, gate),
    ...plain(`${feedForward}.wi_1`, up),
    ...plain(`${feedForward}.wo`, down),
    'encoder.block.{i}.layer.1.layer_norm.weight': `${mlpNorm}.gamma`,
    'encoder.final_layer_norm.weight': 'norm.gamma',
  },
  // A copy of `shared`, to which transformers ties it whatever it holds.
  ignored: ['encoder.embed_tokens.weight'],
};
