import { PadlessError } from '../errors';
import type { PipelineSpec, PoolingMode } from '../models/pipeline';
import { nearest, type Check } from '../options';

/** The words of the option `pooling`. */
export const POOLING_MODES = [
  'cls',
  'mean',
  'max',
  'lasttoken',
  'weightedmean',
  'mean_sqrt_len',
] as const satisfies readonly PoolingMode[];

/** One text or many, as a list that the caller can no longer change; `field` is the argument's name. */
export function checkTexts(input: unknown, field = 'texts'): string[] {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input)) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `${field} must be a string or an array of strings, not ${kind(input)}.`,
      { field },
    );
  }
  const texts = Array.from<unknown>(input);
  const wrong = texts.findIndex((text) => typeof text !== 'string');
  if (wrong >= 0) {
    const place = `${field}[${wrong}]`;
    throw new PadlessError('E_INVALID_ARGUMENT', `${place} must be a string, not ${kind(texts[wrong])}.`, {
      field: place,
    });
  }
  return texts as string[];
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
}

/** One pooling mode or several. */
export const poolingOption: Check<readonly PoolingMode[]> = (value, fail) => {
  const modes = Array.isArray(value) ? value : [value];
  const known =
    modes.length > 0 && modes.every((mode) => (POOLING_MODES as readonly unknown[]).includes(mode));
  return known ? modes : fail(`one or several of ${POOLING_MODES.map((mode) => `"${mode}"`).join(', ')}`);
};

/**
 * The text to put before each input: the option `prompt`, the checkpoint's prompt called `promptName`, or else
 * `instruction`, or its default prompt.
 */
export function promptFor(
  options: { prompt?: string | undefined; promptName?: string | undefined },
  pipeline: Pick<PipelineSpec, 'prompts' | 'defaultPromptName'> | undefined,
  instruction?: string,
): string {
  const { prompt, promptName } = options;
  const prompts = pipeline?.prompts ?? {};
  if (prompt !== undefined && promptName !== undefined) {
    throw new PadlessError('E_INVALID_ARGUMENT', 'Give either prompt or promptName, not both.', {
      field: 'prompt',
    });
  }
  if (prompt !== undefined) return prompt;
  if (promptName === undefined) {
    if (instruction !== undefined) return instruction;
    const byDefault = pipeline?.defaultPromptName;
    return byDefault === undefined ? '' : (prompts[byDefault] ?? '');
  }
  if (Object.hasOwn(prompts, promptName)) return prompts[promptName]!;
  const names = Object.keys(prompts);
  const guess = nearest(promptName, names);
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    names.length === 0
      ? `The checkpoint has no prompts, so there is none called "${promptName}"; give its text as prompt.`
      : `The checkpoint has no prompt "${promptName}"; it has ${names.map((name) => `"${name}"`).join(', ')}.` +
          (guess ? ` Did you mean "${guess}"?` : ''),
    { field: 'promptName' },
  );
}
