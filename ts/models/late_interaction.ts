// Checkpoints whose result is a vector for every token (ColBERT, arXiv:2004.12832), as three projects save them.
import { PadlessError } from '../errors';
import { describeEncoder, type ModelDescription } from './description';
import { ModelDirectory } from './directory';
import {
  MODULES,
  moduleConfig,
  readModules,
  refuseOtherModules,
  settingsReader,
  type Module,
} from './modules';
import { readDense, readPrompts, refuseOtherFeatures, type DenseStep, type PipelineSpec } from './pipeline';
import { tokenProjection, type ProjectionLayer } from './projections';
import { reader, type Reader } from './reader';
import { readTokenLimits } from './token_limits';

/** What makes tokens of a query or of a document. */
export interface SideSpec {
  /** Put before each text; one token of the vocabulary is put after the leading special tokens instead. */
  marker: string;
  /** Most tokens, marker and special tokens included. */
  maxLength?: number;
}

/** How a query is filled up with masks. */
export interface ExpansionSpec {
  /** Tokens that a query has at least. */
  length: number;
  /** Longer queries are cut to `length`. */
  fixed: boolean;
  /** Whether the other tokens see the masks; masks never see one another otherwise. */
  attend: boolean;
  /** The token that is used, instead of the tokenizer's mask. */
  token?: string;
}

/** A model, how its texts become tokens, and which tokens of documents have no vector. */
export interface LateInteractionDescription {
  description: ModelDescription;
  query: SideSpec & { expansion?: ExpansionSpec };
  document: SideSpec & { skipped: readonly string[] };
}

/** ASCII punctuation: Python's string.punctuation. */
const PUNCTUATION = [...'!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'];
const METADATA = 'artifact.metadata';
const CHAIN = 'a Transformer and Dense modules, and perhaps a MultiVectorMask and a Normalize';

function words(field: Reader, name: string): string[] | undefined {
  const value = field.raw(name);
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value) && value.every((word) => typeof word === 'string')) return value as string[];
  throw field.error(name, 'must be a list of strings');
}

/** A Dense module's layer, with its tensors. */
async function layerOf(directory: ModelDirectory, step: DenseStep): Promise<ProjectionLayer> {
  const { map } = await directory.weights(step.directory);
  const locate = (part: string) => {
    const name = `linear.${part}`;
    const file = map.get(name);
    if (file !== undefined) return { file, name };
    const field = `${step.directory}/${name}`;
    throw new PadlessError('E_BAD_WEIGHTS', `${step.directory} has no tensor "${name}".`, { field });
  };
  const { inFeatures, outFeatures, activation } = step;
  const layer = { weight: locate('weight'), inFeatures, outFeatures, activation };
  return step.bias ? { ...layer, bias: locate('bias') } : layer;
}

/** A chain without pooling: where the encoder is. Queries and documents have limits of their own. */
function chainSpec(encoderDirectory: string, settings: Reader, doLowerCase: boolean): PipelineSpec {
  return {
    encoderDirectory,
    pooling: [],
    includePrompt: true,
    steps: [],
    ...readPrompts(settings),
    similarity: 'dot',
    doLowerCase,
  };
}

function expansionOf(field: Reader): ExpansionSpec {
  const strategy = field.oneOf('strategy', ['fixed', 'min']);
  const token = field.optionalString('token');
  return {
    length: field.integer('length', { min: 1 }),
    fixed: strategy === 'fixed',
    attend: field.boolean('attend', false),
    ...(token !== undefined && { token }),
  };
}

/** PyLate keeps its settings in config_sentence_transformers.json. */
function pylateExpansion(settings: Reader): ExpansionSpec | undefined {
  if (!settings.boolean('do_query_expansion', true)) return undefined;
  return {
    length: settings.optionalInteger('query_length', { min: 1 }) ?? 32,
    fixed: true,
    attend: settings.boolean('attend_to_expansion_tokens', false),
  };
}

interface Mask {
  skipped: readonly string[];
  normalize: boolean;
}

/** The MultiVectorMask and the Normalize of a chain; both are implied in what PyLate saves. */
async function readMask(
  directory: ModelDirectory,
  modules: readonly Module[],
  settings: Reader,
): Promise<Mask> {
  const mask = modules.find(({ kind }) => kind === 'MultiVectorMask');
  const normalize = modules.find(({ kind }) => kind === 'Normalize');
  if (normalize) refuseOtherFeatures(await moduleConfig(directory, normalize), 'token_embeddings');
  if (!mask) return { skipped: words(settings, 'skiplist_words') ?? PUNCTUATION, normalize: true };
  const field = await moduleConfig(directory, mask);
  const tasks = words(field, 'skiplist_tasks') ?? ['document'];
  if (tasks.join() !== 'document') {
    throw field.error('skiplist_tasks', 'other than ["document"] is not supported', 'E_UNSUPPORTED');
  }
  if (field.has('keep_only_token_ids')) {
    throw field.error('keep_only_token_ids', 'is for images, which are not supported', 'E_UNSUPPORTED');
  }
  return { skipped: words(field, 'skiplist_words') ?? [], normalize: normalize !== undefined };
}

/** A directory of sentence-transformers' MultiVectorEncoder or of PyLate. */
async function describeModules(
  directory: ModelDirectory,
  modules: readonly Module[],
): Promise<LateInteractionDescription> {
  const dense = modules.filter(({ kind }) => kind === 'Dense');
  const tail = modules.slice(1 + dense.length);
  refuseOtherModules(
    modules,
    [
      ['Transformer'],
      ...dense.map(() => ['Dense'] as const),
      ...tail.map(() => ['MultiVectorMask', 'Normalize'] as const),
    ],
    CHAIN,
  );
  const settings = await settingsReader(directory);
  settings.oneOf('similarity_fn_name', ['MaxSim', 'maxsim', 'cosine', 'dot'], 'MaxSim');
  if (settings.has('truncate_dim')) {
    throw settings.error('truncate_dim', 'is not supported for vectors of tokens', 'E_UNSUPPORTED');
  }
  const limits = await readTokenLimits(directory, modules[0]!.path, 'multi-vector');
  const chain = chainSpec(modules[0]!.path, settings, limits.doLowerCase);
  const layers: ProjectionLayer[] = [];
  for (const module of dense) {
    layers.push(await layerOf(directory, await readDense(directory, module, 'token_embeddings')));
  }
  if (layers.length === 0) {
    throw new PadlessError('E_UNSUPPORTED', `${MODULES}: the chain must be ${CHAIN}.`, { field: MODULES });
  }
  const { skipped, normalize } = await readMask(directory, modules, settings);
  const description = {
    ...(await describeEncoder(directory, chain)),
    projections: [tokenProjection(0, layers, normalize)],
  };
  const own = tail.some(({ kind }) => kind === 'MultiVectorMask');
  const lengths = own ? limits.fields : settings;
  const given = limits.fields?.optionalObject('query_expansion');
  const expansion = own ? given && expansionOf(given) : pylateExpansion(settings);
  const side = (name: 'query' | 'document') => {
    const maxLength = lengths?.optionalInteger(`${name}_length`, { min: 1 }) ?? limits.maxSeqLength;
    const prefix = settings.optionalString(`${name}_prefix`) ?? '';
    const prompt = chain.prompts[name] ?? '';
    return {
      marker: prompt.startsWith(prefix) ? prompt : prefix + prompt,
      ...(maxLength !== undefined && { maxLength }),
    };
  };
  return {
    description,
    query: { ...side('query'), ...(expansion && { expansion }) },
    document: { ...side('document'), skipped },
  };
}

/** A directory of the original ColBERT: its settings in artifact.metadata, its linear layer among the weights. */
async function describeOriginal(directory: ModelDirectory): Promise<LateInteractionDescription> {
  const metadata = reader((await directory.json(METADATA, { optional: true })) ?? {}, METADATA);
  metadata.oneOf('similarity', ['cosine'], 'cosine');
  const chain = chainSpec('', reader({}, METADATA), false);
  const described = await describeEncoder(directory, chain);
  const file = (await directory.weights()).map.get('linear.weight');
  if (file === undefined) {
    throw new PadlessError(
      'E_BAD_WEIGHTS',
      'The checkpoint has no tensor "linear.weight", which HF_ColBERT needs.',
      {
        field: 'linear.weight',
      },
    );
  }
  const layer: ProjectionLayer = {
    weight: { file, name: 'linear.weight' },
    inFeatures: described.spec.hiddenSize,
    outFeatures: metadata.integer('dim', { min: 1 }, 128),
    activation: 'none',
  };
  const documentLength = metadata.optionalInteger('doc_maxlen', { min: 1 });
  return {
    description: { ...described, projections: [tokenProjection(0, [layer], true)] },
    query: {
      marker: metadata.string('query_token_id', '[unused0]'),
      expansion: {
        length: metadata.integer('query_maxlen', { min: 1 }, 32),
        fixed: true,
        attend: metadata.boolean('attend_to_mask_tokens', false),
      },
    },
    document: {
      marker: metadata.string('doc_token_id', '[unused1]'),
      ...(documentLength !== undefined && { maxLength: documentLength }),
      skipped: metadata.boolean('mask_punctuation', true) ? PUNCTUATION : [],
    },
  };
}

/** Whether the directory is one of the original ColBERT. */
export async function isOriginalColbert(directory: ModelDirectory): Promise<boolean> {
  const { architectures } = await directory.json('config.json');
  return Array.isArray(architectures) && architectures[0] === 'HF_ColBERT';
}

/**
 * Reads a directory of a late-interaction model: sentence-transformers' MultiVectorEncoder, PyLate, or the original
 * ColBERT (`architectures` HF_ColBERT).
 *
 * @throws PadlessError as {@link describeModel}; E_UNSUPPORTED for other modules and settings.
 */
export async function describeLateInteraction(path: string): Promise<LateInteractionDescription> {
  const directory = await ModelDirectory.open(path);
  const modules = await readModules(directory);
  if (modules) return describeModules(directory, modules);
  if (await isOriginalColbert(directory)) return describeOriginal(directory);
  const { architectures } = await directory.json('config.json');
  throw new PadlessError(
    'E_UNSUPPORTED',
    `Late interaction needs ${MODULES} of sentence-transformers or PyLate, or the class HF_ColBERT, but "architectures" in config.json is ${JSON.stringify(architectures ?? null)}.`,
    { field: 'architectures' },
  );
}
