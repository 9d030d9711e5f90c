// config.json of every family to its spec: what counts, what is refused; no weights are read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { logBucket } from '../../ts/models/deberta';
import { checkBiases, familyOf } from '../../ts/models/families';
import { alibiSlopes } from '../../ts/models/jina';
import { relativeBuckets } from '../../ts/models/mpnet';
import { reader } from '../../ts/models/reader';
import { textLimit, type EncoderSpec } from '../../ts/models/spec';
import { expectError } from '../support/errors';

type Config = Record<string, unknown>;

function configOf(golden: string, changes: Config = {}): Config {
  const path = join(__dirname, '../goldens/models', golden, 'checkpoint/config.json');
  return { ...(JSON.parse(readFileSync(path, 'utf8')) as Config), ...changes };
}

function without(config: Config, ...keys: string[]): Config {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));
}

function specOf(config: Config): EncoderSpec {
  return familyOf(config).spec(reader(config, 'config.json'));
}

const windows = ({ layers }: EncoderSpec) =>
  layers.map(({ windowLeft, windowRight, causal }) => [windowLeft, causal ? 0 : windowRight]);

const nomicMap = (value: string) => ({ auto_map: { AutoModel: value } });
const ropeOf = (scaling: Config) => ({ rope_parameters: { rope_theta: 10000, ...scaling } });

test.each([
  ['bert', 'hidden_act', 'gelu'],
  ['roberta', 'hidden_act', 'gelu'],
  ['albert', 'hidden_act', 'gelu_tanh'],
  ['electra', 'hidden_act', 'gelu'],
  ['distilbert', 'activation', 'gelu'],
  ['modernbert', 'hidden_activation', 'gelu'],
  ['qwen3', 'hidden_act', 'silu'],
])('%s without %s has the activation of transformers’ configuration', (golden, field, activation) => {
  expect(specOf(without(configOf(golden), field)).mlp).toMatchObject({ activation });
});

test.each<[string, string, Config, string]>([
  ['code of another repository', 'bert', nomicMap('somebody/x--modeling.MyBert'), 'auto_map'],
  ['a decoder', 'ernie', { is_decoder: true }, 'is_decoder'],
  ['an unknown activation', 'distilbert', { activation: 'mish' }, 'activation'],
  [
    'relative positions of BERT',
    'electra',
    { position_embedding_type: 'relative_key' },
    'position_embedding_type',
  ],
  [
    'code that only resembles Nomic’s',
    'nomic-bert',
    nomicMap('evil/nomic--modeling_hf_nomic_bert.NomicBertModel'),
    'auto_map.AutoModel',
  ],
  ['experts of gated layers', 'nomic-moe', { activation_function: 'swiglu' }, 'activation_function'],
  ['experts in every layer', 'nomic-moe', { moe_every_n_layers: 1 }, 'moe_every_n_layers'],
  ['scores scaled to 1', 'nomic-moe', { moe_normalize_expert_weights: true }, 'moe_normalize_expert_weights'],
  ['experts that choose', 'nomic-moe', { expert_choice_router: true }, 'expert_choice_router'],
  ['shared experts', 'nomic-moe', { num_shared_experts: 1 }, 'num_shared_experts'],
  ['Nomic with RMS norms', 'nomic-bert-remote', { use_rms_norm: true }, 'use_rms_norm'],
  ['Nomic with dynamic scaling', 'nomic-bert-remote', { rotary_scaling_factor: 2 }, 'rotary_scaling_factor'],
  ['Nomic with partial rope', 'nomic-bert-remote', { rotary_emb_fraction: 0.5 }, 'rotary_emb_fraction'],
  [
    'GTE with scaled logits, as a string',
    'gte-new-ntk',
    { logn_attention_scale: 'True' },
    'logn_attention_scale',
  ],
  ['GTE with RMS norms', 'gte-new-ntk', { layer_norm_type: 'rms_norm' }, 'layer_norm_type'],
  [
    'GTE with mixed NTK',
    'gte-new-ntk',
    { rope_scaling: { type: 'ntk', factor: 2, mixed_b: 0.6 } },
    'rope_scaling.mixed_b',
  ],
  [
    'NTK where the code has none',
    'gte',
    ropeOf({ rope_type: 'ntk', factor: 2 }),
    'rope_parameters.rope_type',
  ],
  ['an unknown rope type', 'qwen3', ropeOf({ rope_type: 'su', factor: 2 }), 'rope_parameters.rope_type'],
  ['partial rope', 'qwen3', ropeOf({ partial_rotary_factor: 0.5 }), 'rope_parameters.partial_rotary_factor'],
  [
    'a parameter of no meaning here',
    'qwen3',
    ropeOf({ rope_type: 'linear', factor: 2, twist: 1 }),
    'rope_parameters.twist',
  ],
  ['a bidirectional Qwen3', 'qwen3', { is_causal: false }, 'is_causal'],
  ['Mistral with layers of two kinds', 'mistral', { layer_types: ['full_attention'] }, 'layer_types'],
  [
    'Gemma with capped scores',
    'gemma3-bidirectional',
    { attn_logit_softcapping: 50 },
    'attn_logit_softcapping',
  ],
  ['a third kind of layer', 'modernbert', { layer_types: ['chunked_attention'] }, 'layer_types[0]'],
  ['positions compared with positions', 'deberta', { pos_att_type: 'c2p|p2p' }, 'pos_att_type'],
  ['talking heads', 'deberta', { talking_head: true }, 'talking_head'],
  ['an even convolution', 'deberta-v2-conv', { conv_kernel_size: 4 }, 'conv_kernel_size'],
  [
    'Jina’s query and key norms',
    'jina-bert',
    nomicMap('jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel'),
    'auto_map.AutoModel',
  ],
  ['Jina without ALiBi', 'jina-bert', { position_embedding_type: 'absolute' }, 'position_embedding_type'],
  [
    'Jina’s code for XLM-RoBERTa with relative positions',
    'jina-v3-remote',
    { position_embedding_type: 'alibi' },
    'position_embedding_type',
  ],
  ['register tokens', 'jina-v3-remote', { use_reg_tokens: true }, 'use_reg_tokens'],
  ['turned neighbours', 'jina-v3-remote', { rotary_emb_interleaved: true }, 'rotary_emb_interleaved'],
  [
    'a wrapper of Jina’s that is not known',
    'jina-v3-remote',
    { auto_map: { AutoConfig: 'x.XLMRobertaFlashConfig' } },
    'auto_map.AutoConfig',
  ],
  ['T5 with an unknown feed-forward', 't5', { feed_forward_proj: 'gated-relu' }, 'feed_forward_proj'],
  ['T5 of two activations', 't5', { dense_act_fn: 'gelu' }, 'dense_act_fn'],
  ['T5 as a decoder', 't5', { is_decoder: true }, 'is_decoder'],
  ['Jina’s plain feed-forward', 'jina-bert', { feed_forward_type: 'original' }, 'feed_forward_type'],
])('%s: refused', async (_, golden, changes, field) => {
  await expectError(() => specOf(configOf(golden, changes)), { code: 'E_UNSUPPORTED', field });
});

test.each<[string, Config, string]>([
  [
    'heads that do not share the hidden size',
    configOf('bert', { num_attention_heads: 5 }),
    'num_attention_heads',
  ],
  ['heads that do not share keys', configOf('qwen3', { num_key_value_heads: 3 }), 'num_key_value_heads'],
  ['too few layer types', configOf('modernbert', { layer_types: ['full_attention'] }), 'layer_types'],
  [
    'windows that are switched off',
    configOf('qwen3-window-bias', { use_sliding_window: false }),
    'use_sliding_window',
  ],
  [
    'a factor that shrinks',
    configOf('rope-linear', ropeOf({ rope_type: 'linear', factor: 0.5 })),
    'rope_parameters.factor',
  ],
  [
    'factors of another length',
    configOf('rope-longrope', ropeOf({ rope_type: 'longrope', short_factor: [1], long_factor: [1] })),
    'rope_parameters.short_factor',
  ],
  ['no position after the pad', configOf('mpnet', { max_position_embeddings: 2 }), 'max_position_embeddings'],
  ['buckets beyond the range', configOf('deberta-v3', { position_buckets: 400 }), 'position_buckets'],
  [
    'distances within the exact buckets',
    configOf('t5', { relative_attention_max_distance: 8 }),
    'relative_attention_max_distance',
  ],
  [
    'two adapters of one name',
    configOf('jina-v3-remote', { lora_adaptations: ['a', 'a'] }),
    'lora_adaptations',
  ],
  [
    'an instruction of no task',
    configOf('jina-v3-remote', { task_instructions: { other: '' } }),
    'task_instructions.other',
  ],
  ['more choices than experts', configOf('nomic-moe', { moe_top_k: 6 }), 'moe_top_k'],
  ['no feed-forward type', without(configOf('jina-bert'), 'feed_forward_type'), 'feed_forward_type'],
])('%s: bad config', async (_, config, field) => {
  await expectError(() => specOf(config), { code: 'E_BAD_CONFIG', field });
});

describe('windows', () => {
  test('ModernBERT: every third layer from the first is global', () => {
    const config = configOf('modernbert-v4-config', { num_hidden_layers: 5, local_attention: 128 });
    const local = [64, 64];
    expect(windows(specOf(config))).toEqual([[-1, -1], local, local, [-1, -1], local]);
  });

  test('ModernBERT of transformers 4: a null theta of local layers is the global one', () => {
    const spec = specOf(configOf('modernbert-v4-config', { local_rope_theta: null }));
    expect(spec.ropes[1]).toEqual(spec.ropes[0]);
  });

  test('Qwen3: from max_window_layers on, a token and those before it', () => {
    const config = without(configOf('qwen3-window-bias', { num_hidden_layers: 3 }), 'layer_types');
    expect(windows(specOf(config))).toEqual([
      [-1, 0],
      [15, 0],
      [15, 0],
    ]);
  });

  test.each([
    ['named', { sliding_window: 100 }, 99],
    ['null', { sliding_window: null }, -1],
    ['absent', {}, 4095],
  ])('Mistral, %s', (_, changes, left) => {
    const config = { ...without(configOf('mistral-no-window'), 'sliding_window'), ...changes };
    expect(windows(specOf(config))).toEqual([[left, 0]]);
  });

  test('Gemma 3: every sixth layer is full; causal unless told otherwise', () => {
    const bare = without(configOf('gemma3-scaled', { num_hidden_layers: 7 }), 'layer_types');
    const both = windows(specOf(bare));
    expect(both).toEqual([...Array.from({ length: 5 }, () => [8, 8]), [-1, -1], [8, 8]]);
    const causal = windows(specOf(without(bare, 'use_bidirectional_attention')));
    expect(causal).toEqual([...Array.from({ length: 5 }, () => [15, 0]), [-1, 0], [15, 0]]);
  });
});

test.each<[string, Config, string]>([
  ['qwen3', { head_dim: 2 ** 34 }, 'head_dim'],
  ['gemma3-bidirectional', { head_dim: 2 ** 34 }, 'head_dim'],
  ['jina-bert', { hidden_size: 2 ** 34, num_attention_heads: 2 ** 34 }, 'hidden_size'],
  ['jina-bert', { hidden_size: 2 ** 20, num_attention_heads: 2 ** 20 }, 'num_attention_heads'],
  ['modernbert', { hidden_size: 2 ** 34, num_attention_heads: 1 }, 'hidden_size'],
  ['bert', { vocab_size: 2 ** 31 }, 'vocab_size'],
  ['deberta-v2-conv', { conv_kernel_size: 33 }, 'conv_kernel_size'],
  ['albert', { num_hidden_groups: 1024, inner_group_num: 1024 }, 'inner_group_num'],
  ['albert', { num_hidden_layers: 1024, inner_group_num: 2 }, 'inner_group_num'],
])('%s: sizes beyond any model are refused before tables are made: %j', async (golden, sizes, field) => {
  await expectError(() => specOf(configOf(golden, sizes)), { code: 'E_BAD_CONFIG', field });
});

test('known code of a repository is accepted, in it or by its name', () => {
  for (const where of ['nomic-ai/nomic-bert-2048--', '']) {
    const map = nomicMap(`${where}modeling_hf_nomic_bert.NomicBertModel`);
    expect(specOf(configOf('nomic-bert-remote', map)).mlp.kind).toBe('glu');
  }
});

test('older keys of ropes give the same as new ones', () => {
  const { rope_parameters: modern, ...rest } = configOf('rope-yarn-tuned');
  const { rope_theta: theta, rope_type: type, ...scaling } = modern as Config;
  const old = { ...rest, rope_theta: theta, rope_scaling: { type, ...scaling } };
  expect(specOf(old).ropes).toEqual(specOf(configOf('rope-yarn-tuned')).ropes);
});

test('buckets of DeBERTa v2 as transformers 5.18 counts them', () => {
  const distances = [0, 1, 127, 128, 129, 130, 200, 255, 256, 400, 510, 511, 512];
  const expected = [0, 1, 127, 128, 129, 130, 169, 192, 192, 233, 255, 255, 256];
  expect(distances.map((distance) => logBucket(distance, 256, 512))).toEqual(expected);
  expect(distances.slice(1).map((distance) => -logBucket(-distance, 256, 512))).toEqual(expected.slice(1));
});

test('buckets of MPNet as transformers 5.18 counts them', () => {
  const rows = relativeBuckets(32);
  const at = (distance: number) => rows[distance + 128];
  const distances = [0, -1, -7, -8, -15, -16, -31, -32, -63, -64, -127, -128, 1, 7, 8, 16, 64, 128];
  expect(distances.map(at)).toEqual([0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15, 17, 23, 24, 26, 30, 31]);
});

test('buckets of T5 as transformers 5.18 counts them, to a distance of 20', () => {
  const rows = relativeBuckets(12, 20);
  const at = (distance: number) => rows[distance + 20];
  expect([-20, -12, -7, -3, -2, 0, 1, 3, 4, 6, 9, 20].map(at)).toEqual([
    5, 5, 4, 3, 2, 0, 7, 9, 9, 10, 10, 11,
  ]);
});

test('the second of every so many layers has experts', () => {
  const { layers, mlp } = specOf(configOf('nomic-moe', { n_layer: 8, moe_every_n_layers: 3 }));
  expect(layers.flatMap(({ experts }, i) => (experts ? [i] : []))).toEqual([1, 4, 7]);
  expect(mlp).toMatchObject({ kind: 'plain', activation: 'gelu', experts: { count: 5, chosen: 2 } });
});

test('adapters count where the checkpoint has trained ones', () => {
  const { adapters } = specOf(configOf('jina-v3-remote'));
  expect(adapters).toMatchObject({ names: ['retrieval.query', 'text-matching'], rank: 3, scale: 2 / 3 });
  expect(adapters!.instructions['retrieval.query']).toBe('look for: ');
  expect(specOf(configOf('jina-v3-remote', { load_trained_adapters: false })).adapters).toBeUndefined();
});

test('ALiBi’s slopes for a power of two, and for twelve heads', () => {
  expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
  expect(alibiSlopes(12)).toEqual([...alibiSlopes(8), ...[0.5, 1.5, 2.5, 3.5].map((i) => 2 ** -i)]);
});

test('texts end where the table does, or where training did', () => {
  expect(textLimit(specOf(configOf('roberta')), undefined)).toBe(512);
  const rotary = specOf(configOf('modernbert'));
  expect([textLimit(rotary, undefined), textLimit(rotary, 4096)]).toEqual([2048, 4096]);
});

describe('biases', () => {
  const names = {
    weight: { name: 'layers.0.self_attn.q_proj.weight' },
    bias: { name: 'layers.0.self_attn.q_proj.bias' },
  };
  const check = (golden: string, changes: Config, tensors: Record<string, { name: string }>) => {
    const config = configOf(golden, changes);
    const field = reader(config, 'config.json');
    const family = familyOf(config);
    const { weights } = family;
    const table = typeof weights === 'function' ? weights(family.spec(field), field) : weights;
    checkBiases(family, table, field, new Map(Object.entries(tensors)));
  };
  const weightOnly = { 'layers.0.attention.query.weight': names.weight };
  const both = { ...weightOnly, 'layers.0.attention.query.bias': names.bias };

  test.each<[string, Config, boolean]>([
    ['bert', {}, true],
    ['gte', {}, true],
    ['deberta-v3', {}, true],
    ['qwen3', {}, false],
    ['qwen3', { attention_bias: true }, true],
    ['eurobert', {}, false],
    ['gemma3-scaled', {}, false],
    ['modernbert', {}, false],
    ['modernbert-biases', {}, true],
    ['nomic-bert-remote', {}, false],
    ['nomic-bert-remote', { qkv_proj_bias: true }, true],
  ])('%s %j: %s', async (golden, changes, has) => {
    const refused = { code: 'E_BAD_WEIGHTS', field: has ? names.weight.name : names.bias.name } as const;
    check(golden, changes, has ? both : weightOnly);
    await expectError(() => check(golden, changes, has ? weightOnly : both), refused);
  });

  test('ALBERT, whose names have no {i}', async () => {
    await expectError(() => check('albert', {}, weightOnly), { code: 'E_BAD_WEIGHTS' });
  });
});
