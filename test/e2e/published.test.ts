// What published checkpoints have that fixtures of a family do not: heads of ColBERT on other encoders, and
// tokenizers that do not quite belong to their model.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { decodeSafetensors, encodeSafetensors } from '../../ts/io/safetensors';
import { describeLateInteraction } from '../../ts/models/late_interaction';
import { Classifier } from '../../ts/tasks/classifier';
import { Embedder } from '../../ts/tasks/embedder';
import { makeChain, relativeError } from '../support/chains';
import { packGolden, pickRows, readGolden, type Golden } from '../support/goldens';
import { scratchDirectory, writeTree } from '../support/scratch';
import { Random } from '../../ts/demo/random';
import { editJson, makeTask } from '../support/tasks';

type Json = Record<string, unknown>;

const scratch = scratchDirectory();
const published = JSON.parse(readFileSync(join(__dirname, '../goldens/published.json'), 'utf8')) as Record<
  string,
  { files: Record<string, Json> }
>;
const DIMENSIONS = 12;

function readJson(path: string): Json {
  return JSON.parse(readFileSync(path, 'utf8')) as Json;
}

/** A linear layer from the hidden size, seeded. */
function linearOf(inFeatures: number) {
  const random = new Random(7);
  const data = Float32Array.from({ length: DIMENSIONS * inFeatures }, () => random.normal());
  return { dtype: 'F32', shape: [DIMENSIONS, inFeatures], data } as const;
}

/** hidden [rows, width] times the layer, each row of length 1; in float64. */
function tokenVectors(
  hidden: Float64Array,
  { data, shape: [, width] }: ReturnType<typeof linearOf>,
): number[] {
  return Array.from({ length: hidden.length / width! }, (_, row) => {
    const vector = Array.from({ length: DIMENSIONS }, (_unused, out) => {
      let sum = 0;
      for (let i = 0; i < width!; i++) sum += hidden[row * width! + i]! * data[out * width! + i]!;
      return sum;
    });
    const norm = Math.hypot(...vector);
    return vector.map((value) => value / norm);
  }).flat();
}

/**
 * A directory of the published kind: its own files, the sizes and weights of a fixture below `prefix`, and a linear
 * layer beside them or in the folder of a Dense module.
 */
function lateDirectory(name: string, golden: Golden, prefix: string): ReturnType<typeof linearOf> {
  const { files } = published[name]!;
  const sizes = readJson(join(golden.checkpoint, 'config.json'));
  const linear = linearOf(sizes['hidden_size'] as number);
  const { tensors } = decodeSafetensors(readFileSync(join(golden.checkpoint, 'model.safetensors')));
  const kept = Object.entries(tensors)
    .filter(([tensor]) => !/\.lora_[AB]$/.test(tensor))
    .map(([tensor, value]) => [tensor.startsWith(prefix) ? tensor : prefix + tensor, value] as const);
  const keys = /^(hidden_size|num_\w+|intermediate_size|vocab_size|max_position_embeddings|local_attention)$/;
  const dense = files['1_Dense/config.json'];
  writeTree(join(scratch, name), {
    ...files,
    'config.json': {
      ...files['config.json'],
      ...Object.fromEntries(Object.entries(sizes).filter(([key]) => keys.test(key))),
    },
    'model.safetensors': encodeSafetensors({
      ...Object.fromEntries(kept),
      ...(!dense && { 'linear.weight': linear }),
    }),
    ...(dense && {
      '1_Dense/config.json': { ...dense, in_features: linear.shape[1], out_features: DIMENSIONS },
      '1_Dense/model.safetensors': encodeSafetensors({ 'linear.weight': linear }),
    }),
  });
  if (!dense) editJson(join(scratch, name, 'artifact.metadata'), (values) => (values['dim'] = DIMENSIONS));
  return linear;
}

test.each([
  ['answerai-colbert-small-v1', 'bert', 'bert.', '[unused0]', false],
  ['jina-colbert-v2', 'jina-v3-remote', 'roberta.', '[QueryMarker]', true],
  ['GTE-ModernColBERT-v1', 'modernbert-v4-config', '', '[Q] ', false],
])('%s: the vectors of tokens', async (name, fixture, prefix, marker, attend) => {
  const golden = readGolden(fixture);
  const linear = lateDirectory(name, golden, prefix);
  const { description, query } = await describeLateInteraction(join(scratch, name));
  expect(query).toMatchObject({ marker, expansion: { length: 32, fixed: true, attend } });
  using encoder = await Encoder.fromDescription(description, { logits: false });
  const indices = [...golden.sequences.keys()];
  const { projections } = await encoder.run(packGolden(golden, indices), { outputs: ['projections'] });
  let begin = 0;
  for (const index of indices) {
    const { ids, rows } = golden.sequences[index]!;
    const vectors = projections![0]!.subarray(begin * DIMENSIONS, (begin += ids.length) * DIMENSIONS);
    const hidden = golden.expected.get(`${index}.last_hidden_state`)!.data;
    const wanted = tokenVectors(hidden, linear);
    expect(relativeError(pickRows(vectors, DIMENSIONS, rows), wanted)).toBeLessThan(1e-5);
  }
});

/** A copy of a chain, edited. */
function chainCopy(name: string, edit: (folder: string) => void, chain = 'pool-mean'): string {
  const folder = join(scratch, name);
  makeChain(chain, folder);
  edit(folder);
  return folder;
}

const edited = (file: string, change: (values: Json) => void) => (folder: string) =>
  editJson(join(folder, file), change);

test('a BERT with the tokenizer of XLM-RoBERTa, whose padding has another id (multilingual-e5-small)', async () => {
  const plain = chainCopy('padding-plain', () => undefined);
  const other = chainCopy(
    'padding',
    edited('config.json', (config) => (config['pad_token_id'] = 1)),
  );
  await using a = await Embedder.load(plain);
  await using b = await Embedder.load(other);
  expect((await b.embed('the river')).data).toEqual((await a.embed('the river')).data);
});

test('where positions are counted from padding, it must have the same id', async () => {
  const folder = chainCopy(
    'positions',
    edited('tokenizer_config.json', (config) => (config['pad_token'] = '<mask>')),
    'roberta-mean',
  );
  await expect(Embedder.load(folder)).rejects.toMatchObject({
    code: 'E_BAD_TOKENIZER',
    field: 'pad_token_id',
  });
});

test('an added token without an embedding is refused where a text has it (EmbeddingGemma)', async () => {
  const folder = chainCopy('image-token', (copy) => {
    const path = join(copy, 'tokenizer.json');
    const tokenizer = readJson(path);
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    (tokenizer['added_tokens'] as object[]).push({ id: 600, content: '<image_soft_token>', ...plain });
    writeFileSync(path, JSON.stringify(tokenizer));
  });
  await using embedder = await Embedder.load(folder);
  expect((await embedder.embed(['the river', 'bread'])).length).toBe(2);
  await expect(embedder.embed(['the river', 'a <image_soft_token>'])).rejects.toMatchObject({
    code: 'E_INVALID_ARGUMENT',
    field: 'texts[1]',
  });
  await expect(
    embedder.embed(['river '.repeat(2000), '<image_soft_token>'], { chunks: true }),
  ).rejects.toMatchObject({ field: 'texts[1]' });
  expect((await embedder.embed('a')).length).toBe(1);
});

test('max_seq_length counts, also beyond model_max_length of the tokenizer, as in sentence-transformers', async () => {
  const lengths = (sentence: number, tokenizer: number) =>
    chainCopy(`limit-${sentence}-${tokenizer}`, (folder) => {
      edited('sentence_bert_config.json', (values) => (values['max_seq_length'] = sentence))(folder);
      edited('tokenizer_config.json', (values) => (values['model_max_length'] = tokenizer))(folder);
    });
  for (const [sentence, tokenizer] of [
    [100, 50],
    [50, 100],
  ] as const) {
    await using embedder = await Embedder.load(lengths(sentence, tokenizer));
    expect(embedder.maxLength).toBe(sentence);
  }
});

test.each([
  ['bos', '[CLS]', '[SEP]'],
  ['eos', '[SEP]', '[CLS]'],
])(
  'add_%s_token without such a token is refused: its vector would be another one (E5-Mistral)',
  async (side, right, wrong) => {
    const change = (token: unknown) => (config: Json) => {
      config[`add_${side}_token`] = true;
      config[`${side}_token`] = token;
    };
    const good = chainCopy(`${side}-there`, edited('tokenizer_config.json', change({ content: right })));
    await using embedder = await Embedder.load(good);
    expect((await embedder.embed('a')).length).toBe(1);
    const bad = chainCopy(`${side}-missing`, edited('tokenizer_config.json', change(wrong)));
    await expect(Embedder.load(bad)).rejects.toMatchObject({
      code: 'E_BAD_TOKENIZER',
      field: `add_${side}_token`,
    });
  },
);

test('types of tokens that model_input_names, or else the tokenizer’s class, leaves out are not used', async () => {
  const folder = join(scratch, 'types');
  makeTask('classify-one-of', folder);
  const pair = { text: 'the river', pair: 'the sea' };
  const score = async () => {
    await using classifier = await Classifier.load(folder);
    return (await classifier.classify(pair))[0]![0]!.score;
  };
  const withTypes = await score();
  editJson(join(folder, 'tokenizer_config.json'), (config) => {
    config['model_input_names'] = ['input_ids', 'attention_mask'];
  });
  const without = await score();
  expect(without).not.toBe(withTypes);
  const scoreAs = async (tokenizerClass: string, names?: string[]) => {
    editJson(join(folder, 'tokenizer_config.json'), (config) => {
      config['tokenizer_class'] = tokenizerClass;
      if (names) config['model_input_names'] = names;
      else delete config['model_input_names'];
    });
    return score();
  };
  expect(await scoreAs('TokenizersBackend')).toBe(without);
  expect(await scoreAs('DistilBertTokenizerFast')).toBe(without);
  expect(await scoreAs('TokenizersBackend', ['input_ids', 'token_type_ids'])).toBe(withTypes);
  expect(await scoreAs('PreTrainedTokenizerFast')).toBe(withTypes);
});

test('capitals: tokenizer.json must do what do_lower_case of BERT’s tokenizers says', async () => {
  const folder = chainCopy(
    'capitals',
    edited('tokenizer_config.json', (config) => (config['do_lower_case'] = false)),
  );
  await expect(Embedder.load(folder)).rejects.toMatchObject({
    code: 'E_BAD_TOKENIZER',
    field: 'do_lower_case',
  });
  // Other tokenizers do not look at it.
  editJson(join(folder, 'tokenizer_config.json'), (config) => {
    config['tokenizer_class'] = 'PreTrainedTokenizerFast';
  });
  await using embedder = await Embedder.load(folder);
  expect((await embedder.embed('Bread')).data).toEqual((await embedder.embed('bread')).data);
});
