import type { Reader } from './reader';

/**
 * The names of a head's labels, by their numbers: `id2label` of config.json, or LABEL_0 and so on for
 * `num_labels` (2 where it is missing too), as transformers has it.
 *
 * @throws PadlessError E_BAD_CONFIG for a map with holes, with numbers that are none, or of another size than
 * `num_labels`.
 */
export function readLabels(field: Reader): string[] {
  const map = field.optionalObject('id2label');
  const count = field.optionalInteger('num_labels', { min: 1 });
  if (!map) return Array.from({ length: count ?? 2 }, (_, i) => `LABEL_${i}`);
  const keys = map.keys();
  const stray = keys.find((key) => !/^(0|[1-9]\d*)$/.test(key));
  if (stray !== undefined) {
    throw field.error('id2label', `has the key ${JSON.stringify(stray)}; its keys must be 0, 1, 2, ...`);
  }
  if (keys.length === 0) throw field.error('id2label', 'has no labels');
  const labels = Array.from({ length: keys.length }, (_, id) => {
    if (!map.has(String(id))) {
      throw field.error(
        'id2label',
        `has ${keys.length} labels but none for ${id}; they must be 0 to ${keys.length - 1}`,
      );
    }
    return map.string(String(id));
  });
  if (count !== undefined && count !== labels.length) {
    throw field.error('num_labels', `is ${count}, but "id2label" names ${labels.length} labels`);
  }
  return labels;
}
