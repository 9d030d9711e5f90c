import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { checkRemoteCode } from './remote_code';
import { readRope } from './ropes';
import { bertSizes, postNormSpec, readSizes, refuseUnless, withRope } from './sizes';
import type { EncoderSpec, Family } from './spec';
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
  activation_function: ['swiglu'],
  causal: [false],
  prenorm: [false],
  parallel_block: [false],
  use_rms_norm: [false],
  scale_attn_by_inverse_layer_idx: [false],
  rotary_emb_fraction: [1],
  rotary_emb_interleaved: [false],
  rotary_emb_scale_base: [],
  rotary_scaling_factor: [],
  num_experts: [0],
  moe_every_n_layers: [0],
};

function remoteSpec(field: Reader): EncoderSpec {
  refuseUnless(field, remoteMaths);
  const sizes = readSizes(field, { activation: 'silu', eps: 1e-5 }, remoteSizes);
  const spec = postNormSpec(sizes);
  const multiple = field.integer('pad_vocab_size_multiple', { min: 1 }, 1);
  const { headDim } = sizes;
  return {
    ...spec,
    ...withRope(spec.layers, readRope(field, { headDim, theta: 10_000, thetaNames: ['rotary_emb_base'] })),
    vocabSize: Math.ceil(sizes.vocabSize / multiple) * multiple,
  };
}

function nativeSpec(field: Reader): EncoderSpec {
  const sizes = readSizes(field, { activation: 'silu', eps: 1e-12 }, { ...bertSizes, headDim: 'head_dim' });
  const spec = postNormSpec(sizes);
  return { ...spec, ...withRope(spec.layers, readRope(field, { headDim: sizes.headDim, theta: 1000 })) };
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
  ...linear('encoder.layers.{i}.mlp.fc2', down),
  ...norm('layers.{i}.post_mlp_layernorm', mlpNorm),
  ...norm('encoder.layers.{i}.norm2', mlpNorm),
  ...linear('pooler.dense', 'pooler'),
};

/** NomicBERT (arXiv:2402.01613): BERT with rope and SwiGLU; by transformers' class and by Nomic's own code. */
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
      mlp: { ...spec.mlp, kind: 'glu' },
      tokenTypes: field.integer('type_vocab_size', { min: 0 }, 2),
    };
  },
  // Layers of transformers' own class have none.
  hasBias: (target, field) =>
    !target.startsWith('layers.') || (field.has('n_embd') && field.boolean(biasKeys(target), true)),
  prefixes: ['bert.', 'nomic_bert.', 'model.'],
  weights,
  ignored: bertBuffers,
};
