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
import { modernBert } from './modernbert';
import { mpnet } from './mpnet';
import { nomicBert } from './nomic';
import { roberta } from './roberta';
import type { EncoderSpec, Family, RowPart, WeightTable, WeightTarget } from './spec';

const families: readonly Family[] = [
  jinaBert,
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
];

/** Every `model_type` that can be loaded. */
export const modelTypes: readonly string[] = [...new Set(families.flatMap((family) => family.modelTypes))];

/** The family of a config.json; throws E_BAD_CONFIG without `model_type`, E_UNSUPPORTED for an unknown one. */
export function familyOf(config: Record<string, unknown>): Family {
  const type = config['model_type'];
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

/**
 * Refuses a bias that some layers have and others lack: E_BAD_WEIGHTS names what is missing. A checkpoint that lost a
 * bias would otherwise be taken for one that never had it.
 */
export function checkBiases(spec: EncoderSpec, tensors: ReadonlyMap<string, WeightLocation>): void {
  const layers = [...new Set(spec.layers.map(({ weights }) => weights))];
  for (const [target, { name }] of tensors) {
    const [, suffix] = /^layers\.\d+\.(.+\.bias)$/.exec(target) ?? [];
    if (suffix === undefined) continue;
    const lacking = layers.find((layer) => !tensors.has(`layers.${layer}.${suffix}`));
    if (lacking === undefined) continue;
    throw new PadlessError(
      'E_BAD_WEIGHTS',
      `The checkpoint has a tensor "${name}", but no such tensor for layer ${lacking}; it is incomplete.`,
      { field: name },
    );
  }
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
          throw new PadlessError(
            'E_BAD_WEIGHTS',
            `The checkpoint holds one weight twice, as "${other.name}" and as "${name}".`,
            { field: name },
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
