import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { checkRemoteCode } from './remote_code';
import { readRope } from './ropes';
import { bertSizes, postNormSpec, readSizes, refuseUnless, withRope } from './sizes';
import type { EncoderSpec, Family, WeightTable, WeightTarget } from './spec';
import {
  attentionNorm,
  bertEmbeddings,
  down,
  gate,
  key,
  linear,
  mlpNorm,
  norm,
  output,
  plain,
  packed,
  query,
  up,
  value,
} from './weight_tables';

/** The keys of Nomic's own code, GPT-2's. */
const remoteSizes = {
  hiddenSize: 'n_embd',
  heads: 'n_head',
  layers: 'n_layer',
  intermediateSize: 'n_inner',
  activation: 'hidden_act',
  eps: 'layer_norm_epsilon',
};

/** What Nomic's own code can compute and its published text models do not. */
const remoteMaths = {
  causal: [false],
  prenorm: [false],
  parallel_block: [false],
  use_rms_norm: [false],
  scale_attn_by_inverse_layer_idx: [false],
  rotary_emb_fraction: [1],
  rotary_emb_interleaved: [false],
  rotary_emb_scale_base: [],
  rotary_scaling_factor: [],
  num_shared_experts: [0],
  expert_choice_router: [false],
  moe_normalize_expert_weights: [false],
  ffn_div: [1],
};

/** The words of `activation_function` whose maths is known: gated layers, or plain ones. */
const feedForwards = {
  swiglu: { kind: 'glu', activation: 'silu' },
  gelu: { kind: 'plain', activation: 'gelu' },
} as const;

/** The experts, in every so-manieth layer; the names of config.json are those of nomic-embed-text-v2-moe. */
function experts(field: Reader): { count: number; chosen: number; every: number } | undefined {
  const count = field.integer('num_experts', { min: 0, max: 1024 }, 0);
  const every = field.integer('moe_every_n_layers', { min: 0 }, 0);
  const chosen = field.integer('moe_top_k', { min: 1, max: count || 1024 }, 1);
  if (count === 0 && every === 0) return undefined;
  if (count === 0 || every < 2) {
    throw field.error(
      'moe_every_n_layers',
      `is ${every} with "num_experts" ${count}; experts in every second layer, or a rarer one, are supported`,
      'E_UNSUPPORTED',
    );
  }
  return { count, every, chosen };
}

function remoteSpec(field: Reader): EncoderSpec {
  refuseUnless(field, remoteMaths);
  const sizes = readSizes(field, { activation: 'silu', eps: 1e-5 }, remoteSizes);
  const spec = postNormSpec(sizes);
  const { kind, activation } = feedForwards[field.oneOf('activation_function', ['swiglu', 'gelu'], 'swiglu')];
  const routed = experts(field);
  if (routed && kind !== 'plain') {
    throw field.error('activation_function', 'is gated, which experts are not here', 'E_UNSUPPORTED');
  }
  const { layers, ropes } = withRope(
    spec.layers,
    readRope(field, { headDim: sizes.headDim, theta: 10_000, thetaNames: ['rotary_emb_base'] }),
  );
  const multiple = field.integer('pad_vocab_size_multiple', { min: 1 }, 1);
  return {
    ...spec,
    ropes,
    // The second of `every` layers has experts.
    layers: layers.map((one, i) => ({ ...one, experts: routed !== undefined && i % routed.every === 1 })),
    mlp: {
      ...spec.mlp,
      kind,
      activation,
      ...(routed && { experts: { count: routed.count, chosen: routed.chosen } }),
    },
    vocabSize: Math.ceil(sizes.vocabSize / multiple) * multiple,
  };
}

function nativeSpec(field: Reader): EncoderSpec {
  const sizes = readSizes(field, { activation: 'silu', eps: 1e-12 }, { ...bertSizes, headDim: 'head_dim' });
  const spec = postNormSpec(sizes);
  const rope = readRope(field, { headDim: sizes.headDim, theta: 1000 });
  return { ...spec, ...withRope(spec.layers, rope), mlp: { ...spec.mlp, kind: 'glu' } };
}

/** Which key of Nomic's own code says whether there is the bias. */
function biasKeys(target: string): string {
  if (target.includes('.attention.')) return 'qkv_proj_bias';
  return target.endsWith('.down.bias') ? 'mlp_fc2_bias' : 'mlp_fc1_bias';
}

/** Native names, and those of Nomic's own code. */
const weights = {
  ...bertEmbeddings,
  ...norm('emb_ln', 'embeddings.norm'),
  ...plain('layers.{i}.self_attn.q_proj', query),
  ...plain('layers.{i}.self_attn.k_proj', key),
  ...plain('layers.{i}.self_attn.v_proj', value),
  ...plain('layers.{i}.self_attn.o_proj', output),
  ...packed('encoder.layers.{i}.attn.Wqkv', [query, key, value]),
  ...linear('encoder.layers.{i}.attn.out_proj', output),
  ...norm('layers.{i}.post_attention_layernorm', attentionNorm),
  ...norm('encoder.layers.{i}.norm1', attentionNorm),
  ...plain('layers.{i}.mlp.gate_proj', gate),
  ...plain('layers.{i}.mlp.up_proj', up),
  ...plain('layers.{i}.mlp.down_proj', down),
  ...linear('encoder.layers.{i}.mlp.fc12', gate),
  ...linear('encoder.layers.{i}.mlp.fc11', up),
  ...linear('encoder.layers.{i}.mlp.fc1', up),
  ...linear('encoder.layers.{i}.mlp.fc2', down),
  ...norm('layers.{i}.post_mlp_layernorm', mlpNorm),
  ...norm('encoder.layers.{i}.norm2', mlpNorm),
  ...linear('pooler.dense', 'pooler'),
};

/** Every expert's rows of a stack of matrices. */
const stack = (count: number, part: string): WeightTarget =>
  Array.from({ length: count }, (_, index) => ({
    name: `layers.{i}.mlp.experts.${index}.${part}`,
    index,
    parts: count,
    groups: 1,
  }));

const expertWeights = (count: number): WeightTable => ({
  'encoder.layers.{i}.mlp.router.layer.weight': 'layers.{i}.mlp.router.weight',
  'encoder.layers.{i}.mlp.experts.mlp.w1': stack(count, 'up.weight'),
  'encoder.layers.{i}.mlp.experts.mlp.w2': stack(count, 'downTransposed'),
  'encoder.layers.{i}.mlp.experts.bias': 'layers.{i}.mlp.experts.bias',
});

/** NomicBERT (arXiv:2402.01613): BERT with rope and SwiGLU; by transformers' class and by Nomic's own code, whose v2 (arXiv:2502.07972) has experts. */
export const nomicBert: Family = {
  modelTypes: ['nomic_bert'],
  spec: (field) => {
    checkRemoteCode(field, {
      repositories: ['nomic-ai/nomic-bert-2048', ''],
      modules: ['configuration_hf_nomic_bert', 'modeling_hf_nomic_bert'],
      classes: /^NomicBert(Config|Model|For\w+)$/,
    });
    const spec = field.has('n_embd') ? remoteSpec(field) : nativeSpec(field);
    return {
      ...spec,
      tokenTypes: field.integer('type_vocab_size', { min: 0 }, 2),
    };
  },
  // Layers of transformers' own class have none.
  hasBias: (target, field) =>
    !target.startsWith('layers.') || (field.has('n_embd') && field.boolean(biasKeys(target), true)),
  prefixes: ['bert.', 'nomic_bert.', 'model.'],
  weights: ({ mlp }) => (mlp.experts ? { ...weights, ...expertWeights(mlp.experts.count) } : weights),
  ignored: bertBuffers,
};
