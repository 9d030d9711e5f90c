import type { Reader } from './reader';

/**
 * Refuses `auto_map` unless all of it names code that is known here: `owner/name--module.Class` of one of
 * `repositories`, among which '' stands for the model's own (`module.Class`).
 */
export function checkRemoteCode(
  field: Reader,
  known: { repositories: readonly string[]; modules: readonly string[]; classes: RegExp },
): void {
  const map = field.optionalObject('auto_map');
  for (const name of map?.keys() ?? []) {
    const value = map!.string(name);
    const [, repository, module, className] = /^(?:(.+)--)?([^.]+)\.(\w+)$/.exec(value) ?? [];
    if (
      module === undefined ||
      !known.modules.includes(module) ||
      !known.classes.test(className!) ||
      !known.repositories.includes(repository ?? '')
    ) {
      throw map!.error(
        name,
        `is ${JSON.stringify(value)}, code that is not known here and may compute something else`,
        'E_UNSUPPORTED',
      );
    }
  }
}
