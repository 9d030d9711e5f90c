import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { checkRemoteCode } from './remote_code';
import { readRope } from './ropes';
import { postNormSpec, readSizes, refuseUnless, withRope } from './sizes';
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
  packedPlain,
  query,
  up,
  value,
} from './weight_tables';

function spec(field: Reader): EncoderSpec {
  checkRemoteCode(field, {
    repositories: ['Alibaba-NLP/new-impl', ''],
    modules: ['configuration', 'modeling', 'configuration_hf_alibaba_nlp_gte', 'modeling_hf_alibaba_nlp_gte'],
    classes: /^(New|Gte)(Config|Model|For\w+)$/,
  });
  refuseUnless(field, { layer_norm_type: ['layer_norm'], position_embedding_type: ['rope'] });
  if (field.looseBoolean('logn_attention_scale', false)) {
    throw field.error('logn_attention_scale', 'is true, which is not supported', 'E_UNSUPPORTED');
  }
  const sizes = readSizes(field, { activation: 'gelu', eps: 1e-12 });
  const base = postNormSpec(sizes);
  const isNew = field.string('model_type') === 'new';
  const rope = readRope(field, {
    headDim: sizes.headDim,
    theta: isNew ? 10_000 : 160_000,
    hasNtk: isNew,
  });
  return {
    ...base,
    ...withRope(base.layers, rope),
    mlp: { ...base.mlp, kind: 'glu' },
    tokenTypes: field.integer('type_vocab_size', { min: 0 }, 1),
  };
}

/** GTE (arXiv:2407.19669), also as the `new` of Alibaba's own code: BERT with rope and GeGLU, without its biases. */
export const gte: Family = {
  modelTypes: ['gte', 'new'],
  spec,
  prefixes: ['new.', 'gte.', 'model.'],
  weights: {
    ...bertEmbeddings,
    ...linear('layers.{i}.self_attn.q_proj', query),
    ...linear('layers.{i}.self_attn.k_proj', key),
    ...linear('layers.{i}.self_attn.v_proj', value),
    ...linear('layers.{i}.self_attn.o_proj', output),
    ...packed('encoder.layer.{i}.attention.qkv_proj', [query, key, value]),
    ...linear('encoder.layer.{i}.attention.q_proj', query),
    ...linear('encoder.layer.{i}.attention.k_proj', key),
    ...linear('encoder.layer.{i}.attention.v_proj', value),
    ...linear('encoder.layer.{i}.attention.o_proj', output),
    ...norm('layers.{i}.post_attention_layernorm', attentionNorm),
    ...norm('encoder.layer.{i}.attn_ln', attentionNorm),
    ...plain('layers.{i}.mlp.gate_proj', gate),
    ...plain('layers.{i}.mlp.up_proj', up),
    ...linear('layers.{i}.mlp.down_proj', down),
    ...packedPlain('encoder.layer.{i}.mlp.up_gate_proj', [up, gate]),
    ...linear('encoder.layer.{i}.mlp.down_proj', down),
    ...norm('layers.{i}.post_mlp_layernorm', mlpNorm),
    ...norm('encoder.layer.{i}.mlp_ln', mlpNorm),
    ...linear('pooler.dense', 'pooler'),
  },
  ignored: bertBuffers,
};
