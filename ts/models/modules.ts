// modules.json of sentence-transformers: which classes a directory chains, and their own settings.
import { PadlessError } from '../errors';
import { nearest } from '../options';
import type { ModelDirectory } from './directory';
import { reader, type Reader } from './reader';

export type ModuleKind =
  | 'Transformer'
  | 'Pooling'
  | 'Dense'
  | 'Normalize'
  | 'Dropout'
  | 'MLMTransformer'
  | 'SpladePooling'
  | 'MultiVectorMask'
  | 'Router'
  | 'SparseStaticEmbedding';

/** Each module's class as sentence-transformers has named it: up to 5.3, and the paths since; and PyLate's. */
const MODULE_TYPES: Readonly<Record<string, ModuleKind>> = {
  ...Object.fromEntries(
    (['Transformer', 'Pooling', 'Dense', 'Normalize', 'Dropout'] as const).map((kind) => [
      `sentence_transformers.models.${kind}`,
      kind,
    ]),
  ),
  'sentence_transformers.base.modules.transformer.Transformer': 'Transformer',
  'sentence_transformers.sentence_transformer.modules.pooling.Pooling': 'Pooling',
  'sentence_transformers.base.modules.dense.Dense': 'Dense',
  'sentence_transformers.sentence_transformer.modules.dense.Dense': 'Dense',
  'sentence_transformers.base.modules.normalize.Normalize': 'Normalize',
  'sentence_transformers.sentence_transformer.modules.normalize.Normalize': 'Normalize',
  'sentence_transformers.sentence_transformer.modules.dropout.Dropout': 'Dropout',
  'sentence_transformers.sparse_encoder.models.MLMTransformer': 'MLMTransformer',
  'sentence_transformers.sparse_encoder.modules.mlm_transformer.MLMTransformer': 'MLMTransformer',
  'sentence_transformers.sparse_encoder.models.SpladePooling': 'SpladePooling',
  'sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling': 'SpladePooling',
  'sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask': 'MultiVectorMask',
  'sentence_transformers.models.Router': 'Router',
  'sentence_transformers.base.modules.router.Router': 'Router',
  'sentence_transformers.sparse_encoder.models.SparseStaticEmbedding': 'SparseStaticEmbedding',
  'sentence_transformers.sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding':
    'SparseStaticEmbedding',
  'pylate.models.Dense.Dense': 'Dense',
  'custom_st.Transformer': 'Transformer',
};

export const MODULES = 'modules.json';
const SETTINGS = 'config_sentence_transformers.json';

/** One entry of modules.json. */
export interface Module {
  kind: ModuleKind;
  /** Its folder; '' for the directory itself. */
  path: string;
  /** The class, where the model's own repository brings its code. */
  custom?: string;
}

/** The kind of the class that the key `name` of `field` has; older routers say `...Dense.Dense` of a module's file. */
export function moduleKind(field: Reader, name: string, where = ''): ModuleKind {
  const type = field.string(name);
  const known = type.replace(/\.(\w+)\.\1$/, '.$1');
  for (const spelling of [type, known]) {
    if (Object.hasOwn(MODULE_TYPES, spelling)) return MODULE_TYPES[spelling]!;
  }
  const guess = nearest(type, Object.keys(MODULE_TYPES));
  const names = [...new Set(Object.values(MODULE_TYPES))].join(', ');
  throw field.error(
    name,
    `${where}is "${type}", which is not supported${guess ? ` (did you mean "${guess}"?)` : ''}; supported are sentence-transformers' ${names}`,
    'E_UNSUPPORTED',
  );
}

function readModule(value: unknown, index: number): Module {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PadlessError('E_BAD_CONFIG', `${MODULES}: module ${index} must be an object.`, {
      field: MODULES,
    });
  }
  const field = reader(value as Record<string, unknown>, MODULES);
  const kind = moduleKind(field, 'type', `of module ${index} `);
  const type = field.string('type');
  const path = field.string('path', '').replace(/\/$/, '');
  return { kind, path, ...(type.startsWith('custom_') && { custom: type }) };
}

/** What takes a chain that gives no sentence embedding. */
export function taskOf(modules: readonly Module[]): 'SparseEncoder' | 'LateInteraction' | undefined {
  const kinds = modules.map(({ kind }) => kind);
  if (kinds.includes('SpladePooling') || kinds[0] === 'Router') return 'SparseEncoder';
  return kinds[1] === 'Dense' || kinds.includes('MultiVectorMask') ? 'LateInteraction' : undefined;
}

/** The modules of a directory in their order; undefined without modules.json. */
export async function readModules(directory: ModelDirectory): Promise<Module[] | undefined> {
  return (await directory.jsonArray(MODULES))?.map(readModule);
}

/** The modules, if each is of one of the kinds at its place; E_UNSUPPORTED saying `chain` otherwise. */
export function refuseOtherModules(
  modules: readonly Module[],
  kinds: readonly (readonly ModuleKind[])[],
  chain: string,
): readonly Module[] {
  const fits =
    modules.length === kinds.length &&
    modules.every(({ kind, custom }, i) => custom === undefined && kinds[i]!.includes(kind));
  if (fits) return modules;
  const given = modules.map(({ kind }) => kind).join(', ') || 'nothing';
  throw new PadlessError('E_UNSUPPORTED', `${MODULES}: the chain must be ${chain}, not ${given}.`, {
    field: MODULES,
  });
}

/** A module's own config.json; empty if the folder or the file is absent, as for an old Normalize. */
export async function moduleConfig(directory: ModelDirectory, { path }: Module): Promise<Reader> {
  const file = `${path}/config.json`;
  return reader((await directory.json(file, { optional: true })) ?? {}, file);
}

/** config_sentence_transformers.json; empty where there is none. */
export async function settingsReader(directory: ModelDirectory): Promise<Reader> {
  return reader((await directory.json(SETTINGS, { optional: true })) ?? {}, SETTINGS);
}
