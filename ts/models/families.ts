import { PadlessError } from '../errors';
import { bert } from './bert';
import { roberta } from './roberta';
import type { Family } from './spec';

const families: readonly Family[] = [bert, roberta];

/** Every `model_type` that can be loaded. */
export const modelTypes: readonly string[] = families.flatMap((family) => family.modelTypes);

/** The family of a config.json; throws E_BAD_CONFIG without `model_type`, E_UNSUPPORTED for an unknown one. */
export function familyOf(config: Record<string, unknown>): Family {
  const type = config['model_type'];
  if (typeof type !== 'string') {
    throw new PadlessError('E_BAD_CONFIG', 'config.json: "model_type" is missing; it must be a string.', {
      field: 'model_type',
    });
  }
  const family = families.find((candidate) => candidate.modelTypes.includes(type));
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

/**
 * Maps a checkpoint's tensor names to padless's: `{ padless name: checkpoint name }`.
 *
 * Names outside the encoder (task heads) are left out. A name inside the encoder that the family does not know
 * is refused, since it may mean maths that would be missing: E_UNSUPPORTED names the tensor.
 */
export function mapWeights(family: Family, names: Iterable<string>): Map<string, string> {
  const patterns = Object.entries(family.weights).map(([name, target]) => ({
    regexp: pattern(name),
    target,
  }));
  const inside = new Set(Object.keys(family.weights).map((name) => name.split('.')[0]!));
  const mapped = new Map<string, string>();
  for (const name of names) {
    const prefix = family.prefixes.find((candidate) => name.startsWith(candidate)) ?? '';
    const bare = name.slice(prefix.length);
    if (family.ignored.includes(bare)) continue;
    const match = patterns
      .map(({ regexp, target }) => ({ found: regexp.exec(bare), target }))
      .find(({ found }) => found);
    if (match) {
      const target = match.target.replace('{i}', match.found![1] ?? '');
      const other = mapped.get(target);
      if (other !== undefined) {
        throw new PadlessError(
          'E_BAD_WEIGHTS',
          `The checkpoint holds one weight twice, as "${other}" and as "${name}".`,
          {
            field: name,
          },
        );
      }
      mapped.set(target, name);
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
