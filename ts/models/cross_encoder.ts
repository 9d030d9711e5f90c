import type { ModelDirectory } from './directory';
import { reader, type Reader } from './reader';
import { tokenLimit } from './token_limits';

/** What a cross-encoder's directory says about its scores. */
export interface CrossEncoderSettings {
  /** What makes a score of the one logit. */
  activation: 'sigmoid' | 'none';
  maxSeqLength?: number;
}

const SETTINGS = 'config_sentence_transformers.json';

const ACTIVATIONS: Readonly<Record<string, CrossEncoderSettings['activation']>> = {
  Sigmoid: 'sigmoid',
  Identity: 'none',
};

/** The class of torch.nn that a field names by its path, if it names one. */
function readActivation(field: Reader, name: string): CrossEncoderSettings['activation'] | undefined {
  const path = field.optionalString(name);
  if (path === undefined) return undefined;
  const word = /^torch\.nn\.(?:modules\.(?:activation|linear)\.)?(\w+)$/.exec(path)?.[1];
  if (word !== undefined && Object.hasOwn(ACTIVATIONS, word)) return ACTIVATIONS[word]!;
  throw field.error(
    name,
    `is "${path}", which is not supported; supported are ${Object.keys(ACTIVATIONS)
      .map((known) => `torch.nn.${known}`)
      .join(', ')}`,
    'E_UNSUPPORTED',
  );
}

/** A cross-encoder may be a chain of modules; only its transformer is run here. */
async function refuseOtherModules(directory: ModelDirectory): Promise<void> {
  for (const [index, module] of ((await directory.jsonArray('modules.json')) ?? []).entries()) {
    const field = reader((module ?? {}) as Record<string, unknown>, 'modules.json');
    const type = field.string('type');
    if (/^sentence_transformers\.(?:.*\.)?Transformer$/.test(type) && field.string('path', '') === '')
      continue;
    throw field.error(
      'type',
      `of module ${index} is "${type}"; of a cross-encoder only a Transformer in the directory itself is supported`,
      'E_UNSUPPORTED',
    );
  }
}

/** A text put before every pair would be lost. */
function refusePrompt(field: Reader): void {
  const name = field.optionalString('default_prompt_name');
  const text = name === undefined ? undefined : field.optionalObject('prompts')?.optionalString(name);
  if (text !== undefined && text !== '') {
    throw field.error(
      'default_prompt_name',
      'names a prompt, which cross-encoders here do not take',
      'E_UNSUPPORTED',
    );
  }
}

/**
 * What sentence-transformers' CrossEncoder reads beside config.json: the activation of the scores, from
 * config_sentence_transformers.json, `sentence_transformers.activation_fn` or
 * `sbert_ce_default_activation_function` of config.json, in this order; sigmoid where none says anything.
 *
 * @throws PadlessError E_UNSUPPORTED for an activation, module or prompt that is not supported, E_BAD_CONFIG.
 */
export async function readCrossEncoder(
  directory: ModelDirectory,
  config: Record<string, unknown>,
): Promise<CrossEncoderSettings> {
  const settings = reader((await directory.json(SETTINGS, { optional: true })) ?? {}, SETTINGS);
  if (settings.optionalString('model_type') === 'CrossEncoder') await refuseOtherModules(directory);
  refusePrompt(settings);
  const field = reader(config, 'config.json');
  const nested = field.optionalObject('sentence_transformers');
  const limits = reader(
    (await directory.json('sentence_bert_config.json', { optional: true })) ?? {},
    'sentence_bert_config.json',
  );
  const maxSeqLength = tokenLimit(limits, 'max_seq_length');
  return {
    activation:
      readActivation(settings, 'activation_fn') ??
      (nested && readActivation(nested, 'activation_fn')) ??
      readActivation(field, 'sbert_ce_default_activation_function') ??
      'sigmoid',
    ...(maxSeqLength !== undefined && { maxSeqLength }),
  };
}
