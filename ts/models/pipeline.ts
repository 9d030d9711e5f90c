import { PadlessError } from '../errors';
import type { ModelDirectory } from './directory';
import { MODULES, moduleConfig, readModules, settingsReader, taskOf, type Module } from './modules';
import { readPooling, type PoolingMode } from './pooling';
import { reader, type Reader } from './reader';
import type { Activation } from './spec';
import { readTokenLimits } from './token_limits';

export type { PoolingMode } from './pooling';

/** One module after the pooling. */
export type PipelineStep = DenseStep | { kind: 'normalize' };

/** A linear layer with its activation. */
export interface DenseStep {
  kind: 'dense';
  inFeatures: number;
  outFeatures: number;
  activation: Activation;
  bias: boolean;
  /** Relative to the model directory; its safetensors file has `linear.weight` and `linear.bias`. */
  directory: string;
}

/** How two embeddings of a model are meant to be compared. */
export type Similarity = 'cosine' | 'dot' | 'euclidean' | 'manhattan';

/** The chain of a sentence-transformers model, from modules.json and the files of its modules. */
export interface PipelineSpec {
  /** Where config.json and the encoder's weights are, relative to the model directory; '' is the directory itself. */
  encoderDirectory: string;
  /** The class of the first module, where it is not sentence-transformers' own. */
  customModule?: string;
  /** Concatenated in this order. */
  pooling: PoolingMode[];
  /** Width of a token's vector as the pooling expects it, if it says so. */
  embeddingDimension?: number;
  /** Whether the tokens of a prompt take part in the pooling. */
  includePrompt: boolean;
  steps: PipelineStep[];
  prompts: Record<string, string>;
  defaultPromptName?: string;
  similarity: Similarity;
  truncateDim?: number;
  maxSeqLength?: number;
  /** Lower-case the text before the tokenizer sees it. */
  doLowerCase: boolean;
}

/** The class names of torch.nn that Dense may name. Its GELU is erf: the name does not carry the approximation. */
const DENSE_ACTIVATIONS: Readonly<Record<string, Activation>> = {
  Identity: 'none',
  Tanh: 'tanh',
  ReLU: 'relu',
  GELU: 'gelu',
  SiLU: 'silu',
  Sigmoid: 'sigmoid',
};

/** Modules can be told to work on other features; here they follow one another. */
export function refuseOtherFeatures(field: Reader, feature = 'sentence_embedding'): void {
  for (const key of ['module_input_name', 'module_output_name']) field.oneOf(key, [feature], feature);
}

function readActivation(field: Reader): Activation {
  const path = field.string('activation_function', 'torch.nn.modules.activation.Tanh');
  const name = /^torch\.nn\.(?:modules\.(?:activation|linear)\.)?(\w+)$/.exec(path)?.[1];
  if (name !== undefined && Object.hasOwn(DENSE_ACTIVATIONS, name)) return DENSE_ACTIVATIONS[name]!;
  throw field.error(
    'activation_function',
    `is "${path}", which is not supported; supported are ${Object.keys(DENSE_ACTIVATIONS)
      .map((word) => `torch.nn.${word}`)
      .join(', ')}`,
    'E_UNSUPPORTED',
  );
}

/** A Dense module on `feature`. */
export async function readDense(
  directory: ModelDirectory,
  module: Module,
  feature = 'sentence_embedding',
): Promise<DenseStep> {
  const file = `${module.path}/config.json`;
  const field = reader(await directory.json(file), file);
  refuseOtherFeatures(field, feature);
  if (field.boolean('use_residual', false))
    throw field.error('use_residual', 'is not supported', 'E_UNSUPPORTED');
  return {
    kind: 'dense',
    inFeatures: field.integer('in_features', { min: 1 }),
    outFeatures: field.integer('out_features', { min: 1 }),
    activation: readActivation(field),
    bias: field.boolean('bias', true),
    directory: module.path,
  };
}

async function readSteps(directory: ModelDirectory, modules: readonly Module[]): Promise<PipelineStep[]> {
  const steps: PipelineStep[] = [];
  for (const module of modules) {
    if (module.kind === 'Dense') {
      steps.push(await readDense(directory, module));
    } else if (module.kind === 'Normalize') {
      refuseOtherFeatures(await moduleConfig(directory, module));
      steps.push({ kind: 'normalize' });
    } else if (module.kind !== 'Dropout') {
      throw new PadlessError(
        'E_UNSUPPORTED',
        `${MODULES}: a second ${module.kind} is not supported; one Transformer, one Pooling, then Dense and Normalize are.`,
        { field: 'type' },
      );
    }
  }
  return steps;
}

/** Each Dense takes what the module before it gives. */
function checkWidths(steps: readonly PipelineStep[], pooled: number | undefined): void {
  let width = pooled;
  for (const step of steps) {
    if (step.kind !== 'dense') continue;
    if (width !== undefined && step.inFeatures !== width) {
      throw new PadlessError(
        'E_BAD_CONFIG',
        `${step.directory}/config.json: "in_features" is ${step.inFeatures}, but the module before gives ${width} values.`,
        { field: 'in_features' },
      );
    }
    width = step.outFeatures;
  }
}

/** Prompts by name; null, as newer versions write for a name without a prompt, is the empty prompt. */
function promptsByName(field: Reader): Record<string, string> {
  const prompts = field.optionalObject('prompts');
  if (!prompts) return {};
  return Object.fromEntries(prompts.keys().map((name) => [name, prompts.optionalString(name) ?? '']));
}

/** The prompts of config_sentence_transformers.json and which of them is the default. */
export function readPrompts(field: Reader): Pick<PipelineSpec, 'prompts' | 'defaultPromptName'> {
  const prompts = promptsByName(field);
  const defaultPromptName = field.optionalString('default_prompt_name');
  if (defaultPromptName !== undefined && !Object.hasOwn(prompts, defaultPromptName)) {
    throw field.error(
      'default_prompt_name',
      `is "${defaultPromptName}", but "prompts" has only ${Object.keys(prompts).join(', ') || 'none'}`,
    );
  }
  return { prompts, ...(defaultPromptName !== undefined && { defaultPromptName }) };
}

/** What config_sentence_transformers.json says about the texts and the vectors. */
export function readSettings(
  field: Reader,
): Pick<PipelineSpec, 'prompts' | 'defaultPromptName' | 'similarity' | 'truncateDim'> {
  const truncateDim = field.optionalInteger('truncate_dim', { min: 1 });
  return {
    ...readPrompts(field),
    similarity: field.oneOf('similarity_fn_name', ['cosine', 'dot', 'euclidean', 'manhattan'], 'cosine'),
    ...(truncateDim !== undefined && { truncateDim }),
  };
}

/** Which task is made for a chain that gives no sentence embedding. */
function hint(modules: readonly Module[]): string {
  const task = taskOf(modules);
  return task ? `: load it with ${task}` : '';
}

/**
 * Reads the sentence-transformers chain of a model directory: Transformer, Pooling, then any of Dense and
 * Normalize. Undefined for a directory without modules.json and for a cross-encoder, which pools nothing.
 *
 * @throws PadlessError E_BAD_CONFIG for files that are incomplete or contradict one another, E_UNSUPPORTED for
 * modules, activations, pooling modes and settings that nothing here computes, E_NOT_FOUND for missing files.
 */
export async function parsePipeline(directory: ModelDirectory): Promise<PipelineSpec | undefined> {
  const modules = await readModules(directory);
  if (!modules) return undefined;
  const settings = await settingsReader(directory);
  if (settings.optionalString('model_type') === 'CrossEncoder') return undefined;
  const [transformer, pooling, ...rest] = modules;
  if (transformer?.kind !== 'Transformer' || pooling?.kind !== 'Pooling') {
    throw new PadlessError(
      'E_UNSUPPORTED',
      `${MODULES}: the chain must begin with a Transformer and a Pooling, not ${[transformer, pooling].map((module) => module?.kind ?? 'nothing').join(' and ')}${hint(modules)}.`,
      { field: MODULES },
    );
  }
  const poolingFile = `${pooling.path}/config.json`;
  const pooled = readPooling(reader(await directory.json(poolingFile), poolingFile));
  const steps = await readSteps(directory, rest);
  checkWidths(steps, pooled.embeddingDimension && pooled.embeddingDimension * pooled.pooling.length);
  return {
    encoderDirectory: transformer.path,
    ...(transformer.custom !== undefined && { customModule: transformer.custom }),
    ...pooled,
    steps,
    ...readSettings(settings),
    ...(await readTokenLimits(directory, transformer.path)),
  };
}
