import { PadlessError } from '../errors';
import type { TruncationSide } from './protocol';

/** What padless reads of tokenizer_config.json. */
export interface TokenizerSettings {
  /** Undefined where the file gives none, or the 1e30 that means none. */
  maxLength: number | undefined;
  /** Undefined where tokenizer.json decides. */
  truncationSide: TruncationSide | undefined;
  padToken: string | undefined;
  maskToken: string | undefined;
  unknownToken: string | undefined;
  /** Tokens that transformers puts around a text because `add_bos_token` or `add_eos_token` says so. */
  addedToken: Partial<Record<'bos' | 'eos', string>>;
  /** `do_lower_case` of BERT's tokenizers, which transformers puts in place of what tokenizer.json says. */
  lowersCase: boolean | undefined;
  /** Whether `model_input_names`, or else the tokenizer's class, hands the types of tokens to the model. */
  givesTypes: boolean;
}

const sides: readonly TruncationSide[] = ['left', 'right'];

/** Limits from here on are none: transformers writes int(1e30). */
export const NO_LIMIT = 1e9;

const BERT_TOKENIZERS = /^(Bert|DistilBert|Electra|MPNet)Tokenizer(Fast)?$/;

/** Those that give no types unless `model_input_names` does; the first is what transformers 5 calls its own. */
const TYPELESS_TOKENIZERS = /^(TokenizersBackend|DistilBertTokenizer(Fast)?)$/;

/** Reads tokenizer_config.json; a directory without one has the defaults. */
export function parseTokenizerConfig(config: Record<string, unknown> | undefined): TokenizerSettings {
  const max = config?.['model_max_length'];
  const inputs = config?.['model_input_names'];
  const tokenizerClass = String(config?.['tokenizer_class']);
  const isBerts = BERT_TOKENIZERS.test(tokenizerClass);
  const lowersCase = isBerts ? config?.['do_lower_case'] : undefined;
  return {
    maxLength: typeof max === 'number' && max >= 1 && max < NO_LIMIT ? Math.floor(max) : undefined,
    truncationSide: sides.find((side) => side === config?.['truncation_side']),
    padToken: tokenText(config?.['pad_token']),
    maskToken: tokenText(config?.['mask_token']),
    unknownToken: tokenText(config?.['unk_token']),
    lowersCase: typeof lowersCase === 'boolean' ? lowersCase : undefined,
    givesTypes: Array.isArray(inputs)
      ? inputs.includes('token_type_ids')
      : !TYPELESS_TOKENIZERS.test(tokenizerClass),
    addedToken: Object.fromEntries(
      ['bos', 'eos'].flatMap((side) => {
        const token = config?.[`add_${side}_token`] === true && tokenText(config[`${side}_token`]);
        return token ? [[side, token]] : [];
      }),
    ),
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
  /**
   * The id of padding, where results depend on it: positions are counted from it. Elsewhere nothing is padded, and
   * published checkpoints disagree about it (a BERT with the tokenizer of XLM-RoBERTa).
   */
  padId: number | undefined;
  /** Rows of the token-type table. With fewer than two, the tokenizer's types mean nothing to the model. */
  tokenTypes?: number;
}

/**
 * Refuses a tokenizer that belongs to another model. Tokens that were added to its vocabulary may lie beyond the
 * embeddings, as that for images does in EmbeddingGemma: a text with one of them is refused when it comes.
 */
export function checkVocabulary(
  tokenizer: { baseVocabSize: number; padId: number | undefined },
  model: ModelExpectation,
): void {
  if (tokenizer.baseVocabSize > model.vocabSize) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `tokenizer.json has ${tokenizer.baseVocabSize} tokens and the model embeds ${model.vocabSize}: ` +
        'they do not belong together. Take both from the same checkpoint.',
      { field: 'vocab_size' },
    );
  }
  if (tokenizer.padId !== undefined && model.padId !== undefined && tokenizer.padId !== model.padId) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `The tokenizer's padding token has id ${tokenizer.padId} and positions are counted from pad_token_id ${model.padId}: ` +
        'they do not belong together. Take both from the same checkpoint.',
      { field: 'pad_token_id' },
    );
  }
}

/**
 * Refuses a tokenizer.json that does not do what tokenizer_config.json says: transformers makes its normalizer or
 * post-processor anew then, and the ids would be others, such as that of the last token, whose vector counts.
 */
export function checkAgreement(
  { addedToken: added, lowersCase }: TokenizerSettings,
  tokenizer: { around: { bos: boolean; eos: boolean }; lowersCase: boolean },
): void {
  const fix =
    'Save the tokenizer again with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR).';
  if (lowersCase !== undefined && lowersCase !== tokenizer.lowersCase) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `tokenizer_config.json: "do_lower_case" is ${lowersCase}, but tokenizer.json ${lowersCase ? 'keeps capitals' : 'lower-cases'}. ${fix}`,
      { field: 'do_lower_case' },
    );
  }
  for (const side of ['bos', 'eos'] as const) {
    if (added[side] === undefined || tokenizer.around[side]) continue;
    const field = `add_${side}_token`;
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `tokenizer_config.json: "${field}" is true, but tokenizer.json does not put ${added[side]} ` +
        `${side === 'bos' ? 'before' : 'behind'} a text. ${fix}`,
      { field },
    );
  }
}
