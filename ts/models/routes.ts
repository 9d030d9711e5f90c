// A Router of sentence-transformers: other modules for queries than for documents.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PadlessError } from '../errors';
import { decodeSafetensors } from '../io/safetensors';
import type { ModelDirectory } from './directory';
import { moduleKind, refuseOtherModules, type Module } from './modules';
import { reader } from './reader';

/** Which of the two a text is. */
export type Side = 'query' | 'document';

export const SIDES = ['query', 'document'] as const satisfies readonly Side[];

/** The modules of each side, and the one that counts where nothing is said. */
export interface Routes {
  query: readonly Module[];
  document: readonly Module[];
  byDefault: Side | undefined;
}

/**
 * The routes of a Router in `folder`.
 *
 * @throws PadlessError E_UNSUPPORTED for other routes than of queries and documents, and for modules that are not
 * known, E_BAD_CONFIG for a file that contradicts itself.
 */
export async function readRoutes(directory: ModelDirectory, folder: string): Promise<Routes> {
  const file = join(folder, 'router_config.json');
  const field = reader(await directory.json(file), file);
  const [structure, types] = [field.object('structure'), field.object('types')];
  const other = structure.keys().find((name) => !SIDES.includes(name as Side));
  if (other !== undefined)
    throw structure.error(other, 'is no route of queries or documents', 'E_UNSUPPORTED');
  const route = (side: Side): Module[] => {
    const ids = structure.raw(side);
    if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) {
      throw structure.error(side, 'must be a list of the keys of "types"');
    }
    return ids.map((id) => ({
      kind: moduleKind(types, id),
      path: join(folder, id, '.').replace(/^\.$/, ''),
    }));
  };
  const parameters = field.optionalObject('parameters');
  if (
    parameters?.has('route_mappings') &&
    Object.keys(parameters.raw('route_mappings') as object).length > 0
  ) {
    throw parameters.error('route_mappings', 'is not supported', 'E_UNSUPPORTED');
  }
  const named = parameters?.optionalOneOf('default_route', SIDES);
  const first = (parameters?.boolean('allow_empty_key', true) ?? true) ? structure.keys()[0] : undefined;
  return {
    query: route('query'),
    document: route('document'),
    byDefault: named ?? (first as Side | undefined),
  };
}

/** The folder of the only module of a route that looks weights up by token. */
export function staticEmbedding(modules: readonly Module[]): string {
  refuseOtherModules(modules, [['SparseStaticEmbedding']], 'a SparseStaticEmbedding for queries');
  return modules[0]!.path;
}

/**
 * A number for each id of the vocabulary, from the module's weights.
 *
 * @throws PadlessError E_UNSUPPORTED for weights in JSON or of another dtype, E_BAD_WEIGHTS for more than `vocabSize`
 * and what is not finite.
 */
export async function staticWeights(
  directory: ModelDirectory,
  folder: string,
  vocabSize: number,
): Promise<Float32Array> {
  const configFile = join(folder, 'config.json');
  const config = reader((await directory.json(configFile, { optional: true })) ?? {}, configFile);
  if (config.has('path')) throw config.error('path', 'is not supported: save the weights', 'E_UNSUPPORTED');
  const { map } = await directory.weights(folder);
  const file = map.get('weight');
  const field = join(folder, 'weight');
  if (file === undefined) {
    throw new PadlessError('E_BAD_WEIGHTS', `${folder} has no tensor "weight".`, { field });
  }
  const { data, shape } = decodeSafetensors(await readFile(file)).tensors['weight']!;
  if (!(data instanceof Float32Array) || shape.length !== 1) {
    throw new PadlessError('E_UNSUPPORTED', `${folder}: "weight" must be a float32 number for each token.`, {
      field,
    });
  }
  if (data.length > vocabSize) {
    throw new PadlessError(
      'E_BAD_WEIGHTS',
      `${folder}: "weight" has ${data.length} numbers for ${vocabSize} words.`,
      { field },
    );
  }
  if (!data.every(Number.isFinite)) {
    throw new PadlessError('E_BAD_WEIGHTS', `${folder}: tensor "weight" holds a number that is not finite.`, {
      field,
    });
  }
  return data;
}
