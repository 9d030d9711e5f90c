import { join } from 'node:path';

import { PadlessError } from '../errors';
import { ModelDirectory } from './directory';
import { checkBiases, familyOf, mapWeights, type TensorLocation } from './families';
import { describeHead, type Checkpoint, type HeadDescription } from './heads/describe_head';
import { parsePipeline, type PipelineSpec } from './pipeline';
import type { Projection } from './projections';
import { reader } from './reader';
import type { EncoderSpec } from './spec';
import { refuseUnreadMaths } from './unread_fields';

/** Everything a directory says about its model, checked, before any weight is read. */
export interface ModelDescription {
  directory: ModelDirectory;
  config: Record<string, unknown>;
  spec: EncoderSpec;
  pipeline: PipelineSpec | undefined;
  /** padless's tensor names, with the file, the name inside it and which of its rows. */
  tensors: Map<string, TensorLocation>;
  /** The task head; undefined for a bare encoder, the reason where it cannot be run. */
  head: HeadDescription | PadlessError | undefined;
  /** What is computed of every token besides: ColBERT's vectors, weights of terms. */
  projections: readonly Projection[];
}

/**
 * Reads config.json, the weights' names and the sentence-transformers pipeline of a model directory.
 *
 * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS or E_UNSUPPORTED, naming the file or field.
 */
export async function describeModel(path: string): Promise<ModelDescription> {
  const directory = await ModelDirectory.open(path);
  return describeEncoder(directory, await parsePipeline(directory));
}

/**
 * As {@link describeModel}, of a directory whose chain of modules is known; `folder` is where config.json is, ''
 * for the directory itself.
 */
export async function describeEncoder(
  directory: ModelDirectory,
  pipeline: PipelineSpec | undefined,
  folder = pipeline?.encoderDirectory ?? '',
): Promise<ModelDescription> {
  const configFile = join(folder, 'config.json');
  const config = await directory.json(configFile);
  const family = familyOf(config);
  const fields = reader(config, configFile);
  if (pipeline?.customModule !== undefined && pipeline.customModule !== family.customModule) {
    throw new PadlessError(
      'E_UNSUPPORTED',
      `modules.json: "${pipeline.customModule}" is code of the model's own repository, which is not known for this "model_type".`,
      { field: 'type' },
    );
  }
  const spec = family.spec(fields);
  refuseUnreadMaths(fields);
  const width = pipeline?.embeddingDimension ?? spec.hiddenSize;
  if (width !== spec.hiddenSize) {
    throw new PadlessError(
      'E_BAD_CONFIG',
      `The pooling expects vectors of ${width} numbers, but config.json says "hidden_size" ${spec.hiddenSize}.`,
      { field: 'embedding_dimension' },
    );
  }
  const weights = await directory.weights(folder);
  const table = typeof family.weights === 'function' ? family.weights(spec, fields) : family.weights;
  const tensors = new Map<string, TensorLocation>();
  for (const [target, location] of mapWeights(family, table, weights.map.keys())) {
    const { name } = location;
    const layer = /^layers\.(\d+)\./.exec(target)?.[1];
    if (layer !== undefined && !spec.layers.some(({ weights: used }) => used === Number(layer))) {
      throw new PadlessError(
        'E_BAD_WEIGHTS',
        `The checkpoint has a tensor "${name}", but config.json says that there are ${spec.layers.length} layers.`,
        { field: name },
      );
    }
    tensors.set(target, { file: weights.map.get(name)!, ...location });
  }
  checkBiases(family, table, fields, tensors);
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
  const checkpoint = { config: fields, spec, encoder: tensors, files: weights.map };
  return { directory, config, spec, pipeline, tensors, head: headOrReason(checkpoint), projections: [] };
}

/** Without its head a checkpoint still embeds, so what is wrong with it matters to those who ask for logits. */
function headOrReason(checkpoint: Checkpoint): HeadDescription | PadlessError | undefined {
  try {
    return describeHead(checkpoint);
  } catch (error) {
    if (error instanceof PadlessError) return error;
    throw error;
  }
}
