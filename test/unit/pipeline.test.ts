import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { ModelDirectory } from '../../ts/models/directory';
import { parsePipeline, type PipelineSpec } from '../../ts/models/pipeline';
import { chain, dense, entry, type Files } from '../support/chain_files';
import { scratchDirectory, writeTree } from '../support/scratch';

const scratch = scratchDirectory();
const chains = join(__dirname, '../goldens/chains');
let count = 0;

const parse = async (path: string) => parsePipeline(await ModelDirectory.open(path));
const parseFiles = (files: Files) => parse(writeTree(join(scratch, String(count++)), files));

const plain: PipelineSpec = {
  encoderDirectory: '',
  pooling: ['mean'],
  embeddingDimension: 96,
  includePrompt: true,
  steps: [],
  prompts: {},
  similarity: 'cosine',
  doLowerCase: false,
};

describe('directories that sentence-transformers wrote', () => {
  const expected: Record<string, Partial<PipelineSpec>> = {
    'pool-cls': { pooling: ['cls'] },
    'pool-cls-old': { pooling: ['cls'] },
    'pool-max': { pooling: ['max'] },
    'pool-max-old': { pooling: ['max'] },
    'pool-mean': { pooling: ['mean'] },
    'pool-mean-old': { pooling: ['mean'] },
    'pool-mean-oldest': { pooling: ['mean'], steps: [{ kind: 'normalize' }] },
    'pool-lasttoken': { pooling: ['lasttoken'] },
    'pool-lasttoken-old': { pooling: ['lasttoken'] },
    'pool-weightedmean': { pooling: ['weightedmean'] },
    'pool-weightedmean-old': { pooling: ['weightedmean'] },
    'pool-mean-sqrt-len-tokens': { pooling: ['mean_sqrt_len'] },
    'pool-mean-sqrt-len-tokens-old': { pooling: ['mean_sqrt_len'] },
    'pool-combined-old': { pooling: ['cls', 'max', 'mean'] },
    'pool-combined': { pooling: ['lasttoken', 'mean', 'cls'], steps: [{ kind: 'normalize' }] },
    'prompts-excluded': { includePrompt: false, defaultPromptName: 'query' },
    'prompts-excluded-weighted': {
      includePrompt: false,
      pooling: ['max', 'weightedmean'],
      defaultPromptName: 'query',
    },
    'truncate-dim': { truncateDim: 24, steps: [{ kind: 'normalize' }] },
    'max-length-old': { maxSeqLength: 20 },
    'roberta-mean': { maxSeqLength: 24 },
    'roberta-lower-case': { doLowerCase: true },
    'transformer-subfolder': {
      encoderDirectory: '0_Transformer',
      maxSeqLength: 512,
      steps: [{ kind: 'normalize' }],
    },
    'dense-twice': {
      pooling: ['mean', 'max'],
      steps: [
        {
          kind: 'dense',
          inFeatures: 192,
          outFeatures: 50,
          activation: 'tanh',
          bias: true,
          directory: '2_Dense',
        },
        {
          kind: 'dense',
          inFeatures: 50,
          outFeatures: 20,
          activation: 'none',
          bias: true,
          directory: '3_Dense',
        },
      ],
    },
    'dense-identity': {
      steps: [
        {
          kind: 'dense',
          inFeatures: 96,
          outFeatures: 30,
          activation: 'none',
          bias: false,
          directory: '2_Dense',
        },
        { kind: 'normalize' },
      ],
    },
  };
  test.each(Object.keys(expected))('%s', async (name) => {
    expect(await parse(join(chains, name, 'files'))).toMatchObject(expected[name]!);
  });

  test.each(['relu', 'gelu', 'silu', 'sigmoid'])('dense-%s', async (activation) => {
    const spec = await parse(join(chains, `dense-${activation}`, 'files'));
    expect(spec!.steps).toEqual([
      { kind: 'dense', inFeatures: 96, outFeatures: 24, activation, bias: true, directory: '2_Dense' },
    ]);
  });

  test('prompts', async () => {
    const spec = await parse(join(chains, 'prompts', 'files'));
    expect(spec).toMatchObject({
      prompts: { query: 'search query: ', document: '', topic: 'the town, ' },
      defaultPromptName: 'query',
      includePrompt: true,
    });
    expect((await parse(join(chains, 'prompts-no-default', 'files')))!.defaultPromptName).toBeUndefined();
  });

  test('every chain of the goldens is read, and its checkpoint is where it says', async () => {
    for (const name of readdirSync(chains)) {
      const { basePath } = JSON.parse(readFileSync(join(chains, name, 'case.json'), 'utf8')) as {
        basePath: string;
      };
      expect((await parse(join(chains, name, 'files')))!.encoderDirectory).toBe(basePath);
    }
  });
});

describe('accepted', () => {
  test('a directory without modules.json has no pipeline', async () =>
    expect(await parseFiles({ 'config.json': {} })).toBeUndefined());

  test('a cross-encoder has none either', async () =>
    expect(
      await parseFiles({
        'modules.json': [entry('sentence_transformers.base.modules.transformer.Transformer', '')],
        'config_sentence_transformers.json': { model_type: 'CrossEncoder' },
      }),
    ).toBeUndefined());

  test('the least that a chain can say', async () => {
    expect(await parseFiles(chain([]))).toEqual(plain);
    expect(await parseFiles(chain([], { '1_Pooling/config.json': {} }))).toMatchObject({ pooling: ['mean'] });
  });

  test('the module paths of version 6', async () => {
    const base = 'sentence_transformers.base.modules.';
    const spec = await parseFiles({
      'modules.json': [
        entry(`${base}transformer.Transformer`, ''),
        entry('sentence_transformers.sentence_transformer.modules.pooling.Pooling', '1_Pooling'),
        entry(`${base}dense.Dense`, '2_Dense'),
        entry(`${base}normalize.Normalize`, '3_Normalize'),
      ],
      '1_Pooling/config.json': { embedding_dimension: 96, pooling_mode: 'lasttoken', include_prompt: false },
      '2_Dense/config.json': {
        in_features: 96,
        out_features: 8,
        module_input_name: 'sentence_embedding',
        activation_function: 'torch.nn.modules.activation.GELU',
      },
      '3_Normalize/config.json': {
        module_input_name: 'sentence_embedding',
        module_output_name: 'sentence_embedding',
      },
    });
    expect(spec).toEqual({
      ...plain,
      pooling: ['lasttoken'],
      includePrompt: false,
      steps: [
        {
          kind: 'dense',
          inFeatures: 96,
          outFeatures: 8,
          activation: 'gelu',
          bias: true,
          directory: '2_Dense',
        },
        { kind: 'normalize' },
      ],
    });
  });

  test('Dropout does nothing at inference', async () =>
    expect(await parseFiles(chain([entry('Dropout', '2_Dropout')]))).toEqual(plain));

  test('Normalize before Dense keeps its place', async () => {
    const spec = await parseFiles(
      chain([entry('Normalize', '2_Normalize'), entry('Dense', '3_Dense')], {
        '3_Dense/config.json': { in_features: 96, out_features: 8 },
      }),
    );
    expect(spec!.steps.map(({ kind }) => kind)).toEqual(['normalize', 'dense']);
  });

  test('Dense is tanh with a bias where it does not say', async () =>
    expect((await parseFiles(dense({})))!.steps[0]).toMatchObject({ activation: 'tanh', bias: true }));

  test('all legacy flags in the order in which sentence-transformers concatenates', async () => {
    const names = [
      'lasttoken',
      'weightedmean_tokens',
      'mean_sqrt_len_tokens',
      'mean_tokens',
      'max_tokens',
      'cls_token',
    ];
    const config = Object.fromEntries(names.map((name) => [`pooling_mode_${name}`, true]));
    expect((await parseFiles(chain([], { '1_Pooling/config.json': config })))!.pooling).toEqual([
      'cls',
      'max',
      'mean',
      'mean_sqrt_len',
      'weightedmean',
      'lasttoken',
    ]);
  });

  test('pooling_mode counts where both forms are there', async () => {
    const config = { pooling_mode: ['max', 'cls'], pooling_mode_mean_tokens: true };
    expect((await parseFiles(chain([], { '1_Pooling/config.json': config })))!.pooling).toEqual([
      'max',
      'cls',
    ]);
  });

  test('nulls of config_sentence_transformers.json', async () => {
    const settings = {
      prompts: { query: 'q: ', document: null },
      default_prompt_name: null,
      similarity_fn_name: null,
    };
    const spec = await parseFiles(
      chain([], { 'config_sentence_transformers.json': { ...settings, truncate_dim: null } }),
    );
    expect(spec).toEqual({ ...plain, prompts: { query: 'q: ', document: '' } });
  });

  test.each(['dot', 'euclidean', 'manhattan'] as const)('similarity %s', async (similarity) => {
    const files = chain([], { 'config_sentence_transformers.json': { similarity_fn_name: similarity } });
    expect((await parseFiles(files))!.similarity).toBe(similarity);
  });

  test.each(['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'])(
    'sentence_%s_config.json',
    async (name) => {
      const file = `sentence_${name}_config.json`;
      expect(await parseFiles(chain([], { [file]: { max_seq_length: 77, do_lower_case: true } }))).toEqual({
        ...plain,
        maxSeqLength: 77,
        doLowerCase: true,
      });
    },
  );

  test('of several such files the first that is not empty counts', async () => {
    const files = chain([], {
      'sentence_bert_config.json': {},
      'sentence_roberta_config.json': { max_seq_length: 5 },
      'sentence_xlnet_config.json': { max_seq_length: 9 },
    });
    expect((await parseFiles(files))!.maxSeqLength).toBe(5);
  });

  test("transformers' int(1e30) is no limit", async () => {
    for (const config of [{ max_seq_length: 1e30 }, { processor_kwargs: { model_max_length: 1e30 } }]) {
      const parsed = await parseFiles(chain([], { 'sentence_bert_config.json': config }));
      expect(parsed!.maxSeqLength).toBeUndefined();
    }
  });

  test('arguments for transformers that change no number', async () => {
    const config = {
      max_seq_length: 99,
      tokenizer_args: { model_max_length: 33 },
      model_args: { torch_dtype: 'float16', add_pooling_layer: false },
      config_kwargs: {},
    };
    expect((await parseFiles(chain([], { 'sentence_bert_config.json': config })))!.maxSeqLength).toBe(33);
  });
});
