import { PadlessError } from '../errors';
import { albert } from './albert';
import { bert } from './bert';
import { deberta, debertaV2 } from './deberta';
import { mistral, qwen3 } from './decoders';
import { distilBert } from './distilbert';
import { electra } from './electra';
import { ernie } from './ernie';
import { euroBert } from './eurobert';
import { gemma3 } from './gemma';
import { gte } from './gte';
import { jinaBert } from './jina';
import { jinaV3 } from './jina_v3';
import { modernBert } from './modernbert';
import { mpnet } from './mpnet';
import { nomicBert } from './nomic';
import type { Reader } from './reader';
import { roberta } from './roberta';
import type { Family, RowPart, WeightTable, WeightTarget } from './spec';
import { t5 } from './t5';

const families: readonly Family[] = [
  jinaBert,
  jinaV3,
  bert,
  roberta,
  distilBert,
  electra,
  albert,
  ernie,
  modernBert,
  nomicBert,
  gte,
  euroBert,
  qwen3,
  mistral,
  gemma3,
  mpnet,
  deberta,
  debertaV2,
  t5,
];

/** Every `model_type` that can be loaded. */
export const modelTypes: readonly string[] = [...new Set(families.flatMap((family) => family.modelTypes))];

/** All that bert_config.json of the original code says, which knows no `model_type`; the compact BERTs kept it so. */
const ORIGINAL_BERT = [
  'attention_probs_dropout_prob',
  'hidden_act',
  'hidden_dropout_prob',
  'hidden_size',
  'initializer_range',
  'intermediate_size',
  'max_position_embeddings',
  'num_attention_heads',
  'num_hidden_layers',
  'type_vocab_size',
  'vocab_size',
];

const isOriginalBert = (config: Record<string, unknown>): boolean =>
  Object.keys(config).sort().join() === ORIGINAL_BERT.join();

/** The family of a config.json; throws E_BAD_CONFIG without `model_type`, E_UNSUPPORTED for an unknown one. */
export function familyOf(config: Record<string, unknown>): Family {
  const type = config['model_type'] ?? (isOriginalBert(config) ? 'bert' : undefined);
  if (typeof type !== 'string') {
    throw new PadlessError('E_BAD_CONFIG', 'config.json: "model_type" is missing; it must be a string.', {
      field: 'model_type',
    });
  }
  const family = families.find(
    ({ modelTypes: types, claims }) => types.includes(type) && (claims?.(config) ?? true),
  );
  if (!family) {
    throw new PadlessError(
      'E_UNSUPPORTED',
      `config.json: "model_type" "${type}" is not supported; supported are ${modelTypes.join(', ')}.`,
      { field: 'model_type' },
    );
  }
  return family;
}

/** A pattern with `{i}` as a regular expression that captures the number. */
function pattern(name: string): RegExp {
  const escaped = name.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace('{i}', '(\\d+)');
  return new RegExp(`^${escaped}$`);
}

/** A tensor of the checkpoint, or some of its rows. */
export interface WeightLocation {
  name: string;
  part?: RowPart;
}

/** Where a tensor's values are. */
export interface TensorLocation extends WeightLocation {
  file: string;
}

/** The names that the table gives to biases, `{i}` for a layer's number. */
function biasTargets(table: WeightTable): Set<string> {
  const names = Object.values(table).flatMap((target) =>
    typeof target === 'string' ? [target] : target.map(({ name }) => name),
  );
  return new Set(names.filter((name) => name.endsWith('.bias')));
}

/**
 * Refuses a checkpoint that lacks the bias of a weight, or has one that config.json denies: E_BAD_WEIGHTS names the
 * tensor at hand. A checkpoint that lost its biases would otherwise be taken for one that never had them.
 */
export function checkBiases(
  family: Family,
  table: WeightTable,
  field: Reader,
  tensors: ReadonlyMap<string, WeightLocation>,
): void {
  const biases = biasTargets(table);
  for (const [target, { name }] of tensors) {
    if (!target.endsWith('.weight')) continue;
    const bias = target.replace(/weight$/, 'bias');
    const numberless = bias.replace(/^layers\.\d+\./, 'layers.{i}.');
    if (!biases.has(bias) && !biases.has(numberless)) continue;
    const isExpected = family.hasBias?.(numberless, field) ?? true;
    if (isExpected === tensors.has(bias)) continue;
    throw isExpected
      ? badWeights(
          `The checkpoint has a tensor "${name}" without the bias that belongs to it; it is incomplete.`,
          name,
        )
      : badWeights(
          `The checkpoint has a tensor "${tensors.get(bias)!.name}", but config.json says that there are no such biases.`,
          tensors.get(bias)!.name,
        );
  }
}

function badWeights(message: string, field: string): PadlessError {
  return new PadlessError('E_BAD_WEIGHTS', message, { field });
}

/** What the tensor `name` holds: padless's names, each with the rows that are meant. */
function locations(target: WeightTarget, name: string): [string, WeightLocation][] {
  if (typeof target === 'string') return [[target, { name }]];
  return target.map(({ name: padless, ...part }) => [padless, { name, part }]);
}

/**
 * Maps a checkpoint's tensor names to padless's: `{ padless name: where it is }`.
 *
 * Names outside the encoder (task heads) are left out. A name inside the encoder that the family does not know
 * is refused, since it may mean maths that would be missing: E_UNSUPPORTED names the tensor.
 */
export function mapWeights(
  family: Family,
  table: WeightTable,
  names: Iterable<string>,
): Map<string, WeightLocation> {
  const patterns = Object.entries(table).map(([name, target]) => ({ regexp: pattern(name), target }));
  const inside = new Set(Object.keys(table).map((name) => name.split('.')[0]!));
  const mapped = new Map<string, WeightLocation>();
  for (const name of names) {
    const prefix = family.prefixes.find((candidate) => name.startsWith(candidate)) ?? '';
    const bare = name.slice(prefix.length);
    if (family.ignored.includes(bare)) continue;
    const match = patterns
      .map(({ regexp, target }) => ({ found: regexp.exec(bare), target }))
      .find(({ found }) => found);
    if (match) {
      const number = match.found![1] ?? '';
      for (const [target, location] of locations(match.target, name)) {
        const numbered = target.replace('{i}', number);
        const other = mapped.get(numbered);
        if (other) {
          throw badWeights(
            `The checkpoint holds one weight twice, as "${other.name}" and as "${name}".`,
            name,
          );
        }
        mapped.set(numbered, location);
      }
    } else if (inside.has(bare.split('.')[0]!)) {
      throw new PadlessError(
        'E_UNSUPPORTED',
        `The checkpoint has a tensor "${name}" that this model type does not use; what it computes would be lost.`,
        { field: name },
      );
    }
  }
  return mapped;
}
