// BGE-M3 (arXiv:2402.03216): a dense chain with two linear layers on every token beside it.
import { PadlessError } from '../errors';
import { describeEncoder, type ModelDescription } from './description';
import { CONVERTER, ModelDirectory } from './directory';
import { parsePipeline } from './pipeline';
import { tokenProjection, type ProjectionLayer } from './projections';
import type { Activation } from './spec';

/** Projections of {@link describeM3}, in this order. */
export const M3_PROJECTIONS = { vectors: 0, weights: 1 } as const;

async function layerOf(
  directory: ModelDirectory,
  name: string,
  features: { inFeatures: number; outFeatures: number; activation: Activation },
): Promise<ProjectionLayer> {
  const wanted = `${name}.safetensors`;
  if (await directory.has(wanted)) {
    const file = await directory.resolve(wanted);
    return { ...features, weight: { file, name: 'weight' }, bias: { file, name: 'bias' } };
  }
  const pickle = `${name}.pt`;
  throw (await directory.has(pickle))
    ? new PadlessError(
        'E_BAD_WEIGHTS',
        `${directory.path} has ${pickle} but no ${wanted}. Only safetensors files are read, since pickles run code; convert it: python ${CONVERTER} ${directory.path}/${pickle} (it needs torch and safetensors).`,
        { field: pickle },
      )
    : new PadlessError('E_NOT_FOUND', `${directory.path} has no ${wanted}, which BGE-M3 needs.`, {
        field: wanted,
      });
}

/**
 * Reads a directory of BGE-M3: modules.json for the dense embedding, colbert_linear.safetensors and
 * sparse_linear.safetensors.
 *
 * @throws PadlessError as {@link describeModel}; E_BAD_WEIGHTS for linear layers that are still pickles.
 */
export async function describeM3(path: string): Promise<ModelDescription> {
  const directory = await ModelDirectory.open(path);
  const pipeline = await parsePipeline(directory);
  if (!pipeline) {
    throw new PadlessError('E_NOT_FOUND', `${path} has no modules.json, which says how BGE-M3 pools.`, {
      field: 'modules.json',
    });
  }
  const description = await describeEncoder(directory, pipeline);
  const inFeatures = description.spec.hiddenSize;
  const colbert = await layerOf(directory, 'colbert_linear', {
    inFeatures,
    outFeatures: inFeatures,
    activation: 'none',
  });
  const sparse = await layerOf(directory, 'sparse_linear', {
    inFeatures,
    outFeatures: 1,
    activation: 'relu',
  });
  return {
    ...description,
    projections: [tokenProjection(0, [colbert], true), tokenProjection(1, [sparse], false)],
  };
}
