import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { checkRemoteCode } from './remote_code';
import { positionsAfterPad } from './roberta';
import { readRope } from './ropes';
import { postNormSpec, readSizes, refuseUnless, withRope } from './sizes';
import type { AdapterSpec, EncoderSpec, Family, WeightTable, WeightTarget } from './spec';
import {
  attentionNorm,
  bertEmbeddings,
  down,
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

const TASKS = 'lora_adaptations';
const INSTRUCTIONS = 'task_instructions';

/** What Jina's own code can compute and its published models do not. */
const remoteMaths = {
  is_decoder: [false],
  add_cross_attention: [false],
  use_reg_tokens: [false],
  rotary_emb_dim: [],
  rotary_emb_scale_base: [],
  rotary_emb_interleaved: [false],
  local_attention_window_size: [],
};

/** The task adapters, if the checkpoint has trained ones. */
function readAdapters(field: Reader): { adapters?: AdapterSpec } {
  const names = field.raw(TASKS);
  if (names === undefined || !field.boolean('load_trained_adapters', false)) return {};
  const isList = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string');
  if (!isList || new Set(names).size !== names.length) {
    throw field.error(TASKS, 'must be a list of different names');
  }
  const given = field.optionalObject(INSTRUCTIONS);
  const stray = given?.keys().find((name) => !names.includes(name));
  if (stray !== undefined) throw given!.error(stray, `is none of "${TASKS}"`);
  const rank = field.integer('lora_rank', { min: 1, max: 4096 }, 4);
  const instructions = Object.fromEntries(names.map((name) => [name, given?.optionalString(name) ?? '']));
  return { adapters: { names, instructions, rank, scale: field.number('lora_alpha', 1) / rank } };
}

function remoteSpec(field: Reader): EncoderSpec {
  refuseUnless(field, remoteMaths);
  const sizes = readSizes(field, { activation: 'gelu', eps: 1e-12 });
  const base = { ...postNormSpec(sizes), tokenTypes: field.integer('type_vocab_size', { min: 0 }, 2) };
  const spec = { ...base, ...readAdapters(field) };
  const padId = field.integer('pad_token_id', { min: 0 }, 1);
  const isRotary = field.oneOf('position_embedding_type', ['absolute', 'rotary'], 'absolute') === 'rotary';
  if (!isRotary) return { ...spec, positions: positionsAfterPad(field, padId) };
  const { headDim } = sizes;
  return {
    ...spec,
    ...withRope(base.layers, readRope(field, { headDim, theta: 10_000, thetaNames: ['rotary_emb_base'] })),
  };
}

function nativeSpec(field: Reader): EncoderSpec {
  refuseUnless(field, { is_decoder: [false], add_cross_attention: [false] });
  const sizes = readSizes(field, { activation: 'gelu', eps: 1e-5 });
  const spec = postNormSpec(sizes);
  return {
    ...spec,
    ...withRope(spec.layers, readRope(field, { headDim: sizes.headDim, theta: 20_000 })),
    tokenTypes: field.integer('type_vocab_size', { min: 1 }, 1),
  };
}

/** The weights also under the name that torch's parametrizations give them. */
function parametrized(table: WeightTable): WeightTable {
  const others = Object.entries(table)
    .filter(([name]) => name.endsWith('.weight'))
    .map(([name, target]) => [name.replace(/weight$/, 'parametrizations.weight.original'), target]);
  return { ...table, ...(Object.fromEntries(others) as WeightTable) };
}

/** What the adapters add to one product or table: stacks of their A and B. */
function lowRank(checkpoint: string, padless: string, count: number): WeightTable {
  const stack = (part: 'a' | 'b'): WeightTarget =>
    Array.from({ length: count }, (_, index) => ({
      name: `adapters.${index}.${padless}.${part}`,
      index,
      parts: count,
      groups: 1,
    }));
  const root = `${checkpoint}.parametrizations.weight.0`;
  return { [`${root}.lora_A`]: stack('a'), [`${root}.lora_B`]: stack('b') };
}

const layer = 'encoder.layers.{i}';

const weights: WeightTable = {
  ...parametrized({
    ...bertEmbeddings,
    ...packed(`${layer}.mixer.Wqkv`, [query, key, value]),
    ...linear(`${layer}.mixer.out_proj`, output),
    ...linear(`${layer}.mlp.fc1`, up),
    ...linear(`${layer}.mlp.fc2`, down),
    ...linear('pooler.dense', 'pooler'),
  }),
  ...norm('emb_ln', 'embeddings.norm'),
  ...norm(`${layer}.norm1`, attentionNorm),
  ...norm(`${layer}.norm2`, mlpNorm),
  // transformers' own class.
  ...linear('layers.{i}.self_attn.q_proj', query),
  ...linear('layers.{i}.self_attn.k_proj', key),
  ...linear('layers.{i}.self_attn.v_proj', value),
  ...linear('layers.{i}.self_attn.o_proj', output),
  ...norm('layers.{i}.post_attention_layernorm', attentionNorm),
  ...linear('layers.{i}.mlp.fc1', up),
  ...linear('layers.{i}.mlp.fc2', down),
  ...norm('layers.{i}.post_mlp_layernorm', mlpNorm),
};

const adapterWeights = (count: number): WeightTable => ({
  ...lowRank('embeddings.word_embeddings', 'embeddings.word', count),
  ...lowRank('embeddings.token_type_embeddings', 'embeddings.tokenType', count),
  ...lowRank(`${layer}.mixer.Wqkv`, 'layers.{i}.attention.qkv', count),
  ...lowRank(`${layer}.mixer.out_proj`, 'layers.{i}.attention.output', count),
  ...lowRank(`${layer}.mlp.fc1`, 'layers.{i}.mlp.up', count),
  ...lowRank(`${layer}.mlp.fc2`, 'layers.{i}.mlp.down', count),
  ...lowRank('pooler.dense', 'pooler', count),
});

/**
 * Jina's XLM-RoBERTa with rope and task adapters (jina-embeddings-v3, arXiv:2409.10173), and without either
 * (jina-reranker-v2): XLM-RoBERTa told from its original by the code it names; and transformers' own class.
 */
export const jinaV3: Family = {
  modelTypes: ['xlm-roberta', 'jina_embeddings_v3'],
  claims: (config) =>
    config['model_type'] === 'jina_embeddings_v3' ||
    JSON.stringify(config['auto_map'] ?? null).includes('.XLMRobertaFlashConfig"'),
  spec: (field) => {
    checkRemoteCode(field, {
      repositories: ['jinaai/xlm-roberta-flash-implementation', ''],
      modules: ['configuration_xlm_roberta', 'modeling_xlm_roberta', 'modeling_lora'],
      classes: /^XLMRoberta(FlashConfig|LoRA|Model|For\w+)$/,
    });
    return field.string('model_type') === 'xlm-roberta' ? remoteSpec(field) : nativeSpec(field);
  },
  prefixes: ['roberta.'],
  weights: ({ adapters }) => (adapters ? { ...weights, ...adapterWeights(adapters.names.length) } : weights),
  ignored: bertBuffers,
  customModule: 'custom_st.Transformer',
};
