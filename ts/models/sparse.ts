// Checkpoints whose result is a sparse vector over the vocabulary: SPLADE, and TILDEv2's weights of terms.
import { PadlessError } from '../errors';
import { describeEncoder, type ModelDescription } from './description';
import { ModelDirectory } from './directory';
import { moduleConfig, readModules, refuseOtherModules, settingsReader, type Module } from './modules';
import { readSettings, type PipelineSpec } from './pipeline';
import { tokenProjection } from './projections';
import { readRoutes, staticEmbedding, staticWeights, type Side } from './routes';
import { readTokenLimits } from './token_limits';

/** A model and how its tokens become a sparse vector. */
export interface SparseDescription {
  description: ModelDescription;
  weights: SparseWeights;
  /** Where queries are not run through the model. */
  queries?: StaticQueries;
}

/** Queries whose vectors are weights looked up by token (OpenSearch's models, called inference-free). */
export interface StaticQueries {
  /** With a tokenizer of its own. */
  directory: ModelDirectory;
  /** A number for each id. */
  weights: Float32Array;
  /** Which side a text is of where nothing is said. */
  byDefault: Side | undefined;
}

export type SparseWeights =
  /** log(1 + relu(x)), taken `logs` times, of the largest logit of each word over the tokens (SPLADE). */
  | { kind: 'logits'; logs: number }
  /** The largest weight of each token of the text itself; projection 0 gives one a token (TILDEv2). */
  | { kind: 'terms' };

const CHAIN = 'a Transformer for fill-mask and a SpladePooling';

async function readSpladePooling(directory: ModelDirectory, module: Module): Promise<SparseWeights> {
  const field = await moduleConfig(directory, module);
  // A sum needs the logarithm of every logit: the original SPLADE of 2021, which no published model still uses.
  field.oneOf('pooling_strategy', ['max'], 'max');
  const activation = field.oneOf('activation_function', ['relu', 'log1p_relu'], 'relu');
  return { kind: 'logits', logs: activation === 'relu' ? 1 : 2 };
}

/** The chain without its pooling: where the encoder is, its prompts and its limits. */
async function readChain(directory: ModelDirectory, transformer: Module): Promise<PipelineSpec> {
  return {
    encoderDirectory: transformer.path,
    pooling: [],
    includePrompt: true,
    steps: [],
    ...readSettings(await settingsReader(directory)),
    ...(await readTokenLimits(directory, transformer.path, 'logits')),
  };
}

/** TILDEv2's projection of every token to one weight, where the checkpoint has it. */
async function describeTerms(directory: ModelDirectory): Promise<ModelDescription | undefined> {
  const { map } = await directory.weights();
  const [weight, bias] = ['tok_proj.weight', 'tok_proj.bias'].map((name) => {
    const file = map.get(name);
    return file === undefined ? undefined : { file, name };
  });
  if (!weight || !bias) return undefined;
  const description = await describeEncoder(directory, undefined);
  const inFeatures = description.spec.hiddenSize;
  const layer = { weight, bias, inFeatures, outFeatures: 1, activation: 'relu' as const };
  return { ...description, projections: [tokenProjection(0, [layer], false)] };
}

/**
 * Reads a directory of a SPLADE model, with the modules.json of sentence-transformers or as a bare masked
 * language model, or of a TILDEv2 model.
 *
 * @throws PadlessError as {@link describeModel}; E_UNSUPPORTED for other modules and for heads that give no logits of
 * words.
 */
export async function describeSparse(path: string): Promise<SparseDescription> {
  const directory = await ModelDirectory.open(path);
  const modules = await readModules(directory);
  if (!modules) {
    const terms = await describeTerms(directory);
    if (terms) return { description: terms, weights: { kind: 'terms' } };
    const description = await describeEncoder(directory, undefined);
    requireWords(description);
    return { description, weights: { kind: 'logits', logs: 1 } };
  }
  if (modules[0]?.kind !== 'Router') return describeChain(directory, modules);
  const [router] = refuseOtherModules(modules, [['Router']], 'one Router');
  const { query, document, byDefault } = await readRoutes(directory, router!.path);
  const folder = staticEmbedding(query);
  const described = await describeChain(directory, document);
  const weights = await staticWeights(directory, folder, described.description.spec.vocabSize);
  return { ...described, queries: { directory: await directory.subdirectory(folder), weights, byDefault } };
}

async function describeChain(
  directory: ModelDirectory,
  modules: readonly Module[],
): Promise<SparseDescription> {
  const [transformer, pooling] = refuseOtherModules(
    modules,
    [['Transformer', 'MLMTransformer'], ['SpladePooling']],
    CHAIN,
  );
  const description = await describeEncoder(directory, await readChain(directory, transformer!));
  requireWords(description);
  return { description, weights: await readSpladePooling(directory, pooling!) };
}

function requireWords({ head, config }: ModelDescription): void {
  if (head instanceof PadlessError) throw head;
  if (head?.head.task === 'masked-lm') return;
  throw new PadlessError(
    'E_UNSUPPORTED',
    `A sparse encoder needs a masked language model or TILDEv2, but "architectures" in config.json is ${JSON.stringify(config['architectures'] ?? null)}.`,
    { field: 'architectures' },
  );
}
