import { PadlessError } from '../errors';

/** What padless reads of tokenizer_config.json. */
export interface TokenizerSettings {
  /** Undefined where the file gives none, or the 1e30 that means none. */
  maxLength: number | undefined;
  truncationSide: 'left' | 'right';
  padToken: string | undefined;
  maskToken: string | undefined;
  unknownToken: string | undefined;
}

/** transformers writes int(1e30) for "no limit". */
const NO_LIMIT = 1e9;

/** Reads tokenizer_config.json; a directory without one has the defaults. */
export function parseTokenizerConfig(config: Record<string, unknown> | undefined): TokenizerSettings {
  const max = config?.['model_max_length'];
  return {
    maxLength: typeof max === 'number' && max >= 1 && max < NO_LIMIT ? Math.floor(max) : undefined,
    truncationSide: config?.['truncation_side'] === 'left' ? 'left' : 'right',
    padToken: tokenText(config?.['pad_token']),
    maskToken: tokenText(config?.['mask_token']),
    unknownToken: tokenText(config?.['unk_token']),
  };
}

/** What these tokens are called where tokenizer_config.json leaves it to the tokenizer's class. */
export const MASK_TOKENS = ['[MASK]', '<mask>', '<|mask|>'];
export const UNKNOWN_TOKENS = ['[UNK]', '<unk>'];

/** A token is a string, or an object of an added token's fields. */
function tokenText(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}

/** What the model expects of its tokenizer. */
export interface ModelExpectation {
  /** Rows of the word embedding table. */
  vocabSize: number;
  /** `pad_token_id` of config.json, where it has one. */
  padId: number | undefined;
}

/** Refuses a tokenizer that belongs to another model. */
export function checkVocabulary(
  tokenizer: { vocabSize: number; padId: number | undefined },
  model: ModelExpectation,
): void {
  if (tokenizer.vocabSize > model.vocabSize) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `tokenizer.json has ${tokenizer.vocabSize} tokens and the model embeds ${model.vocabSize}: ` +
        'they do not belong together. Take both from the same checkpoint.',
      { field: 'vocab_size' },
    );
  }
  if (tokenizer.padId !== undefined && model.padId !== undefined && tokenizer.padId !== model.padId) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `The tokenizer's padding token has id ${tokenizer.padId} and config.json says pad_token_id ${model.padId}: ` +
        'they do not belong together. Take both from the same checkpoint.',
      { field: 'pad_token_id' },
    );
  }
}
