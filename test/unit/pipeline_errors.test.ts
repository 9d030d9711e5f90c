import { join } from 'node:path';

import { ModelDirectory } from '../../ts/models/directory';
import { parsePipeline } from '../../ts/models/pipeline';
import { chain, dense, entry, POOLED, type Files } from '../support/chain_files';
import { expectError } from '../support/errors';
import { scratchDirectory, writeTree } from '../support/scratch';

const scratch = scratchDirectory();
let count = 0;

const parseFiles = async (files: Files) =>
  parsePipeline(await ModelDirectory.open(writeTree(join(scratch, String(count++)), files)));

describe('a pipeline is refused for', () => {
  const pooling = (config: object) => chain([], { '1_Pooling/config.json': config });
  const settings = (config: object) => chain([], { 'config_sentence_transformers.json': config });
  const transformer = (config: object) => chain([], { 'sentence_bert_config.json': config });
  const cases: [string, Files, 'E_BAD_CONFIG' | 'E_UNSUPPORTED' | 'E_NOT_FOUND', string, string][] = [
    [
      'modules.json that is an object',
      { 'modules.json': {} },
      'E_BAD_CONFIG',
      'modules.json',
      'must be an array',
    ],
    [
      'a module that is no object',
      { 'modules.json': ['x'] },
      'E_BAD_CONFIG',
      'modules.json',
      'module 0 must be an object',
    ],
    ['a module without type', { 'modules.json': [{}] }, 'E_BAD_CONFIG', 'type', 'is missing'],
    ['no modules', { 'modules.json': [] }, 'E_UNSUPPORTED', 'modules.json', 'not nothing and nothing'],
    [
      'a chain without Pooling',
      { 'modules.json': [POOLED[0]!, entry('Normalize', '')] },
      'E_UNSUPPORTED',
      'modules.json',
      'not Transformer and Normalize',
    ],
    [
      'an unknown module',
      chain([entry('LSTM', '2_LSTM')]),
      'E_UNSUPPORTED',
      'type',
      'sentence_transformers.models.LSTM',
    ],
    [
      'code of its own',
      chain([entry('custom_st.Encoder', '')]),
      'E_UNSUPPORTED',
      'type',
      'custom_st.Encoder',
    ],
    [
      'a module name of Object.prototype',
      chain([entry('a.constructor', '')]),
      'E_UNSUPPORTED',
      'type',
      'constructor',
    ],
    [
      'SpladePooling',
      {
        'modules.json': [POOLED[0]!, entry('sentence_transformers.sparse_encoder.models.SpladePooling', '')],
      },
      'E_UNSUPPORTED',
      'modules.json',
      'load it with SparseEncoder',
    ],
    ['a second Pooling', chain([entry('Pooling', '1_Pooling')]), 'E_UNSUPPORTED', 'type', 'a second Pooling'],
    [
      'a path that leads out',
      { 'modules.json': [POOLED[0]!, entry('Pooling', '../x')] },
      'E_BAD_CONFIG',
      '../x/config.json',
      'leads out',
    ],
    ['an absolute path', chain([entry('Dense', '/etc')]), 'E_BAD_CONFIG', '/etc/config.json', 'is absolute'],
    [
      'an absolute path of Normalize',
      chain([entry('Normalize', '/etc')]),
      'E_BAD_CONFIG',
      '/etc/config.json',
      'is absolute',
    ],
    [
      'a Pooling without its config',
      { 'modules.json': POOLED },
      'E_NOT_FOUND',
      '1_Pooling/config.json',
      'has no file',
    ],
    [
      'a Dense without its config',
      chain([entry('Dense', '2_Dense')]),
      'E_NOT_FOUND',
      '2_Dense/config.json',
      'has no file',
    ],
    [
      'an unknown pooling mode',
      pooling({ pooling_mode: 'meen' }),
      'E_UNSUPPORTED',
      'pooling_mode',
      'did you mean "mean"?',
    ],
    [
      'an unknown mode in a list',
      pooling({ pooling_mode: ['cls', 'attention'] }),
      'E_UNSUPPORTED',
      'pooling_mode[1]',
      'supported are cls, max',
    ],
    [
      'an empty list of modes',
      pooling({ pooling_mode: [] }),
      'E_BAD_CONFIG',
      'pooling_mode',
      'at least one mode',
    ],
    [
      'an unknown legacy flag',
      pooling({ pooling_mode_attention: true }),
      'E_UNSUPPORTED',
      'pooling_mode_attention',
      'is not supported',
    ],
    [
      'a legacy flag in quotes',
      pooling({ pooling_mode_cls_token: 'false' }),
      'E_BAD_CONFIG',
      'pooling_mode_cls_token',
      'must be true or false',
    ],
    [
      'include_prompt in quotes',
      pooling({ include_prompt: 'false' }),
      'E_BAD_CONFIG',
      'include_prompt',
      'must be true or false',
    ],
    ['a Dense without sizes', dense({ out_features: null }), 'E_BAD_CONFIG', 'out_features', 'is missing'],
    [
      'a Dense of another width than the pooling',
      dense({ in_features: 95 }),
      'E_BAD_CONFIG',
      'in_features',
      'gives 96 values',
    ],
    [
      'an unknown activation',
      dense({ activation_function: 'torch.nn.modules.activation.Mish' }),
      'E_UNSUPPORTED',
      'activation_function',
      'torch.nn.Tanh',
    ],
    [
      'an activation of foreign code',
      dense({ activation_function: 'evil.Tanh' }),
      'E_UNSUPPORTED',
      'activation_function',
      'evil.Tanh',
    ],
    ['a residual Dense', dense({ use_residual: true }), 'E_UNSUPPORTED', 'use_residual', 'is not supported'],
    [
      'a Dense over tokens',
      dense({ module_input_name: 'token_embeddings' }),
      'E_UNSUPPORTED',
      'module_input_name',
      'token_embeddings',
    ],
    [
      'a Normalize over tokens',
      chain([entry('Normalize', '2_Normalize')], {
        '2_Normalize/config.json': { module_input_name: 'token_embeddings' },
      }),
      'E_UNSUPPORTED',
      'module_input_name',
      'token_embeddings',
    ],
    [
      'a default prompt that is not there',
      settings({ prompts: { query: 'q' }, default_prompt_name: 'passage' }),
      'E_BAD_CONFIG',
      'default_prompt_name',
      'has only query',
    ],
    [
      'a prompt that is no string',
      settings({ prompts: { query: 1 } }),
      'E_BAD_CONFIG',
      'prompts.query',
      'must be a string',
    ],
    [
      'an unknown similarity',
      settings({ similarity_fn_name: 'maxsim' }),
      'E_UNSUPPORTED',
      'similarity_fn_name',
      'supported are cosine',
    ],
    ['truncate_dim 0', settings({ truncate_dim: 0 }), 'E_BAD_CONFIG', 'truncate_dim', 'at least 1'],
    ['max_seq_length 0', transformer({ max_seq_length: 0 }), 'E_BAD_CONFIG', 'max_seq_length', 'at least 1'],
    [
      'do_lower_case in quotes',
      transformer({ do_lower_case: 'true' }),
      'E_BAD_CONFIG',
      'do_lower_case',
      'must be true or false',
    ],
    [
      'another task',
      transformer({ transformer_task: 'fill-mask' }),
      'E_UNSUPPORTED',
      'transformer_task',
      'fill-mask',
    ],
    [
      'another output',
      transformer({ modality_config: { text: { method_output_name: 'pooler_output' } } }),
      'E_UNSUPPORTED',
      'modality_config.text.method_output_name',
      'pooler_output',
    ],
    [
      'arguments that change the model',
      transformer({ config_args: { rope_theta: 1 } }),
      'E_UNSUPPORTED',
      'config_args.rope_theta',
      'not supported here',
    ],
    [
      'a multi-vector model',
      transformer({ query_length: 32 }),
      'E_UNSUPPORTED',
      'query_length',
      'multi-vector',
    ],
  ];
  test.each(cases)('%s', (_name, files, code, field, words) =>
    expectError(() => parseFiles(files), { code, field, words }),
  );
});
