import { PadlessError } from '../errors';
import type { ModelDirectory } from '../models/directory';
import { abortable } from '../signals';
import type { TokenizedChunk, TokenizerReady } from './protocol';
import { checkVocabulary, parseTokenizerConfig, type ModelExpectation } from './settings';
import { TooLongFailure, leaseThread, type ThreadLease } from './thread';

/** Options of {@link Tokenizer.load}. */
export interface TokenizerLoadOptions {
  /** The longest sequence that the model takes; tokenizer_config.json may say less. */
  maxLength: number;
  /** Lower-case first (`do_lower_case` of sentence_bert_config.json). */
  lowerCase?: boolean | undefined;
  /** What to check the vocabulary against. */
  model?: ModelExpectation | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of {@link Tokenizer.encode}. */
export interface EncodeOptions {
  /** Second texts, one for each text: pairs share a sequence. */
  pairs?: string[] | undefined;
  /** Put before each text. */
  prefix?: string | undefined;
  /** Cut sequences to the limit, keeping their special tokens (the default); otherwise E_TOO_LONG. */
  truncate?: boolean | undefined;
  specialTokens?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Index of the first text in the caller's list, for error messages. */
  firstIndex?: number | undefined;
}

/**
 * tokenizer.json of a model directory, run by the Rust `tokenizers` library on a thread of its own.
 * Loading the same file twice shares the thread.
 */
export class Tokenizer {
  readonly #lease: ThreadLease;
  readonly #ready: TokenizerReady;
  /** Most tokens of one sequence, special tokens included. */
  readonly maxLength: number;

  private constructor(lease: ThreadLease, maxLength: number) {
    this.#lease = lease;
    this.#ready = lease.ready;
    this.maxLength = maxLength;
  }

  /**
   * @throws PadlessError E_BAD_TOKENIZER if tokenizer.json is missing, cannot be read, or belongs to another
   * model; E_BAD_CONFIG if the limit leaves no room for a token of text.
   */
  static async load(directory: ModelDirectory, options: TokenizerLoadOptions): Promise<Tokenizer> {
    const settings = parseTokenizerConfig(await directory.json('tokenizer_config.json', { optional: true }));
    const lease = await leaseThread(
      {
        file: await tokenizerFile(directory),
        lowerCase: options.lowerCase ?? false,
        truncationSide: settings.truncationSide,
        padToken: settings.padToken,
      },
      options.signal,
    );
    try {
      if (options.model) checkVocabulary(lease.ready, options.model);
      const maxLength = Math.min(options.maxLength, settings.maxLength ?? Infinity);
      if (maxLength <= lease.ready.specialTokens) {
        throw new PadlessError(
          'E_BAD_CONFIG',
          `The limit of ${maxLength} tokens leaves no room for text beside ${lease.ready.specialTokens} special tokens.`,
          { field: 'max_seq_length' },
        );
      }
      return new Tokenizer(lease, maxLength);
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /** Number of ids, added tokens included. */
  get vocabSize(): number {
    return this.#ready.vocabSize;
  }

  /** Token ids of `texts`, sequences back to back. */
  async encode(texts: string[], options: EncodeOptions = {}): Promise<TokenizedChunk> {
    const request = this.#lease.thread.encode({
      kind: 'encode',
      texts,
      pairs: options.pairs,
      prefix: options.prefix ?? '',
      limit: this.maxLength,
      truncate: options.truncate ?? true,
      specialTokens: options.specialTokens ?? true,
    });
    try {
      const { ids, tokenTypes, lengths } = await abortable(request, options.signal);
      return { ids, tokenTypes, lengths };
    } catch (error) {
      if (error instanceof TooLongFailure) throw tooLong(error, options.firstIndex ?? 0);
      throw error;
    }
  }

  /** Tokens at the head of a sequence that starts with `prefix`: leading special tokens and its own. */
  async prefixLength(prefix: string, signal?: AbortSignal): Promise<number> {
    const request = this.#lease.thread.prefixLength({ kind: 'prefixLength', prefix, limit: this.maxLength });
    return (await abortable(request, signal)).tokens;
  }

  /** Ends the thread when this was its last user. */
  async dispose(): Promise<void> {
    await this.#lease.release();
  }
}

async function tokenizerFile(directory: ModelDirectory): Promise<string> {
  if (!(await directory.has('tokenizer.json'))) {
    throw new PadlessError(
      'E_BAD_TOKENIZER',
      `${directory.path} has no tokenizer.json. Save one with transformers: ` +
        'AutoTokenizer.from_pretrained(DIR, use_fast=True).save_pretrained(DIR).',
      { field: 'tokenizer.json' },
    );
  }
  return directory.resolve('tokenizer.json');
}

function tooLong({ where: { index, tokens, limit } }: TooLongFailure, firstIndex: number): PadlessError {
  const at = firstIndex + index;
  return new PadlessError(
    'E_TOO_LONG',
    `Text ${at} has ${tokens} tokens and the limit is ${limit}; shorten it, or pass truncate: true to cut it.`,
    { field: `texts[${at}]` },
  );
}
