import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nextTurn } from '../batching/slices';
import { writeSafetensors, type SafetensorsTensor } from '../io/safetensors';
import { throwIfAborted } from '../errors';
import { Random } from './random';

/** Sizes of a BERT. */
export interface BertShape {
  layers: number;
  hidden: number;
  heads: number;
  intermediate: number;
  positions: number;
}

/** The shape of all-MiniLM-L6-v2. */
export const MINILM: BertShape = { layers: 6, hidden: 384, heads: 12, intermediate: 1536, positions: 512 };
/** The shape of bert-base-uncased. */
export const BERT_BASE: BertShape = { layers: 12, hidden: 768, heads: 12, intermediate: 3072, positions: 512 };

const WORD_STD = 0.05;
/** Small beside the words, so that what a text says weighs more than where it says it. */
const POSITION_STD = 0.01;
const DENSE_STD = 0.02;

/** What a random checkpoint is made of. */
export interface RandomCheckpoint {
  vocabSize: number;
  seed: number;
  /** MiniLM's by default. */
  shape?: BertShape;
  signal?: AbortSignal;
}

/** Writes config.json, model.safetensors and a mean-pooling modules.json of a BERT with random weights. */
export async function writeRandomCheckpoint(folder: string, options: RandomCheckpoint): Promise<void> {
  const shape = options.shape ?? MINILM;
  await mkdir(join(folder, '1_Pooling'), { recursive: true });
  await writeSafetensors(join(folder, 'model.safetensors'), await weights(shape, options));
  const json = (name: string, value: unknown) =>
    writeFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  await json('modules.json', [
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
  ]);
  await json('1_Pooling/config.json', {
    word_embedding_dimension: shape.hidden,
    pooling_mode_mean_tokens: true,
  });
  await json('config.json', {
    architectures: ['BertModel'],
    model_type: 'bert',
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    intermediate_size: shape.intermediate,
    hidden_act: 'gelu',
    layer_norm_eps: 1e-12,
    max_position_embeddings: shape.positions,
    position_embedding_type: 'absolute',
    pad_token_id: 0,
    type_vocab_size: 2,
    vocab_size: options.vocabSize,
  });
}

async function weights(
  { hidden, intermediate, layers, positions }: BertShape,
  { vocabSize, seed, signal }: RandomCheckpoint,
): Promise<Record<string, SafetensorsTensor>> {
  const random = new Random(seed);
  const tensors: Record<string, SafetensorsTensor> = {};
  const add = (name: string, shape: number[], value: () => number) => {
    const length = shape.reduce((product, size) => product * size, 1);
    const data = new Float32Array(length);
    for (let i = 0; i < length; i++) data[i] = value();
    tensors[name] = { dtype: 'F32', shape, data };
  };
  const normal = (std: number) => () => random.normal() * std;
  const norm = (name: string) => {
    add(`${name}.LayerNorm.weight`, [hidden], () => 1);
    add(`${name}.LayerNorm.bias`, [hidden], () => 0);
  };
  const dense = (name: string, outputs: number, inputs: number) => {
    add(`${name}.weight`, [outputs, inputs], normal(DENSE_STD));
    add(`${name}.bias`, [outputs], () => 0);
  };
  add('embeddings.word_embeddings.weight', [vocabSize, hidden], normal(WORD_STD));
  add('embeddings.position_embeddings.weight', [positions, hidden], normal(POSITION_STD));
  add('embeddings.token_type_embeddings.weight', [2, hidden], normal(POSITION_STD));
  norm('embeddings');
  for (let i = 0; i < layers; i++) {
    await nextTurn();
    throwIfAborted(signal);
    const layer = `encoder.layer.${i}`;
    for (const part of ['query', 'key', 'value']) dense(`${layer}.attention.self.${part}`, hidden, hidden);
    dense(`${layer}.attention.output.dense`, hidden, hidden);
    norm(`${layer}.attention.output`);
    dense(`${layer}.intermediate.dense`, intermediate, hidden);
    dense(`${layer}.output.dense`, hidden, intermediate);
    norm(`${layer}.output`);
  }
  return tensors;
}
