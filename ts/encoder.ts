import { device as openDevice, type Device } from './device';
import { PadlessError, abortError, fromNative, throwIfAborted } from './errors';
import { ModelDirectory } from './models/directory';
import { familyOf, mapWeights } from './models/families';
import { parsePipeline, type PipelineSpec, type PoolingMode } from './models/pipeline';
import { reader } from './models/reader';
import { maxLength, type EncoderSpec } from './models/spec';
import { addon, type NativeEncoder, type NativeSafetensors, type NativeTensorSource } from './native';
import { abortSignal, callback, checkOptions, integer, oneOf, string } from './options';
import type { PackedBatch } from './packed';

/** What the products of a model compute in. */
export type ComputeDtype = 'f32' | 'bf16' | 'f16' | 'int8';

/** How far a load has come. */
export interface LoadProgress {
  /** `read`: files are opened and their headers checked; `weights`: tensors are packed for the device. */
  stage: 'read' | 'weights';
  done: number;
  total: number;
}

/** Options of every `load`. */
export interface LoadOptions {
  /** `'cpu'` (the default), `'auto'`, `'cuda:0'`, ... */
  device?: string;
  /** What the products compute in; f32 by default. Statistics and sums are float32 in any case. */
  dtype?: ComputeDtype;
  /** CPU threads that one call uses at most; all that the process may use by default. */
  threads?: number;
  /** Stops the loading. */
  signal?: AbortSignal;
  onProgress?: (progress: LoadProgress) => void;
}

/** What a run can return. */
export type EncoderOutput = 'lastHiddenState' | 'poolerOutput' | 'sentenceEmbedding';

/** Options of {@link Encoder.run}. */
export interface RunOptions {
  outputs: readonly EncoderOutput[];
  /** Pooling instead of the checkpoint's own pipeline; several are concatenated. */
  pooling?: readonly PoolingMode[];
  /** [B]: leading tokens of each sequence that the pooling leaves out. */
  skip?: Int32Array;
  /** Keep the first columns of the sentence embedding (Matryoshka). */
  dimensions?: number;
  /** L2-normalise the sentence embedding, after the truncation. */
  normalize?: boolean;
  signal?: AbortSignal;
}

/** Results of {@link Encoder.run}, row-major, float32. */
export interface EncoderResult {
  /** [T, hidden size] */
  lastHiddenState?: Float32Array;
  /** [B, hidden size] */
  poolerOutput?: Float32Array;
  /** [B, dimensions] */
  sentenceEmbedding?: Float32Array;
}

const loadOptions = {
  device: string,
  dtype: oneOf(['f32', 'bf16', 'f16', 'int8']),
  threads: integer(1, 1024),
  signal: abortSignal,
  onProgress: callback,
};

/** Everything a directory says about its model, checked, before any weight is read. */
export interface ModelDescription {
  directory: ModelDirectory;
  config: Record<string, unknown>;
  spec: EncoderSpec;
  pipeline: PipelineSpec | undefined;
  /** padless's tensor names, with the file and the name inside it. */
  tensors: Map<string, { file: string; name: string }>;
}

/**
 * Reads config.json, the weights' names and the sentence-transformers pipeline of a model directory.
 *
 * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS or E_UNSUPPORTED, naming the file or field.
 */
export async function describeModel(path: string): Promise<ModelDescription> {
  const directory = await ModelDirectory.open(path);
  const config = await directory.json('config.json');
  const family = familyOf(config);
  const spec = family.spec(reader(config, 'config.json'));
  const pipeline = await parsePipeline(directory);
  const weights = await directory.weights();
  const names = mapWeights(family, weights.map.keys());
  const tensors = new Map<string, { file: string; name: string }>();
  for (const [target, name] of names) {
    const layer = /^layers\.(\d+)\./.exec(target)?.[1];
    if (layer !== undefined && Number(layer) >= spec.layers) {
      throw new PadlessError(
        'E_BAD_WEIGHTS',
        `The checkpoint has a tensor "${name}", but config.json says that there are ${spec.layers} layers.`,
        { field: name },
      );
    }
    tensors.set(target, { file: weights.map.get(name)!, name });
  }
  spec.pooler = tensors.has('pooler.weight') && tensors.has('pooler.bias');
  let index = 0;
  for (const step of pipeline?.steps ?? []) {
    if (step.kind === 'dense') {
      const dense = await directory.weights(step.directory);
      for (const part of step.bias ? ['weight', 'bias'] : ['weight']) {
        const file = dense.map.get(`linear.${part}`);
        if (file === undefined) {
          throw new PadlessError('E_BAD_WEIGHTS', `${step.directory} has no tensor "linear.${part}".`, {
            field: `${step.directory}/linear.${part}`,
          });
        }
        tensors.set(`head.${index}.${part}`, { file, name: `linear.${part}` });
      }
    }
    index++;
  }
  return { directory, config, spec, pipeline, tensors };
}
