import { PadlessError } from '../errors';
import type { ModelDirectory } from '../models/directory';
import { beginnings } from './prefixes';
import type { EncodedReply, PairTruncation, TokenizedChunk, TokenizerReady } from './protocol';
import {
  MASK_TOKENS,
  UNKNOWN_TOKENS,
  checkAgreement,
  checkVocabulary,
  parseTokenizerConfig,
  type ModelExpectation,
} from './settings';
import { TooLongFailure, leaseThread, type ThreadLease } from './thread';

/** Of a long text, characters that are tokenized first: twice those of a token of English. */
const CHARACTERS_PER_TOKEN = 8;
/** How much more is taken where they give too few tokens. */
const GROWTH = 8;

/** Options of {@link Tokenizer.load}. */
export interface TokenizerLoadOptions {
  /** The longest sequence that the model takes; tokenizer_config.json may say less. */
  maxLength: number;
  /** Whether `maxLength` counts whatever tokenizer_config.json says, as sentence-transformers' `max_seq_length`. */
  isOwnLimit?: boolean | undefined;
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
  /** Most tokens of a sequence, if less than the tokenizer's own. */
  maxLength?: number | undefined;
  /** Cut sequences to the limit, keeping their special tokens (the default); otherwise E_TOO_LONG. */
  truncate?: boolean | undefined;
  /** What is cut from a pair: `longestFirst` (the default) or `onlySecond`. */
  pairTruncation?: PairTruncation | undefined;
  /**
   * Instead of a cut, windows: the text (of a pair the second) becomes several sequences within the limit, each
   * repeating the last `stride` tokens of the one before. The prefix, special tokens and the first text of a pair
   * are in all of them.
   */
  stride?: number | undefined;
  specialTokens?: boolean | undefined;
  /** Offsets, words and segments of the tokens as well. */
  details?: boolean | undefined;
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
  /** Ids from here on have no embedding. */
  readonly #embedded: number;
  readonly #givesTypes: boolean;
  /** Most tokens of one sequence, special tokens included. */
  readonly maxLength: number;

  private constructor(lease: ThreadLease, maxLength: number, use: { embedded: number; givesTypes: boolean }) {
    this.#lease = lease;
    this.#ready = lease.ready;
    this.#embedded = use.embedded;
    this.#givesTypes = use.givesTypes;
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
        maskTokens: settings.maskToken === undefined ? MASK_TOKENS : [settings.maskToken],
        unknownTokens: settings.unknownToken === undefined ? UNKNOWN_TOKENS : [settings.unknownToken],
        addedToken: settings.addedToken,
      },
      options.signal,
    );
    try {
      if (options.model) checkVocabulary(lease.ready, options.model);
      checkAgreement(settings, lease.ready);
      const stated = options.isOwnLimit ? undefined : settings.maxLength;
      const maxLength = Math.min(options.maxLength, stated ?? Infinity);
      if (maxLength <= lease.ready.specialTokens) {
        throw new PadlessError(
          'E_BAD_CONFIG',
          `The limit of ${maxLength} tokens leaves no room for text beside ${lease.ready.specialTokens} special tokens.`,
          { field: 'max_seq_length' },
        );
      }
      return new Tokenizer(lease, maxLength, {
        embedded: options.model?.vocabSize ?? Infinity,
        givesTypes: settings.givesTypes && (options.model?.tokenTypes ?? Infinity) > 1,
      });
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /** Number of ids, added tokens included. */
  get vocabSize(): number {
    return this.#ready.vocabSize;
  }

  /** The id of the token that stands for a masked one. */
  get maskId(): number | undefined {
    return this.#ready.maskId;
  }

  /** The id of the token that stands for what the vocabulary lacks. */
  get unknownId(): number | undefined {
    return this.#ready.unknownId;
  }

  /** Whether tokens that go on with a word are marked as such, like WordPiece's `##ing`. */
  get marksSubwords(): boolean {
    return this.#ready.marksSubwords;
  }

  /**
   * Token ids of `texts`, sequences back to back.
   *
   * @throws PadlessError E_TOO_LONG; E_INVALID_ARGUMENT for a limit or a stride that leaves no room for text, or a text
   * with a token that the model does not embed.
   */
  async encode(texts: string[], options: EncodeOptions = {}): Promise<TokenizedChunk> {
    const limit = Math.min(options.maxLength ?? Infinity, this.maxLength);
    this.#checkRoom(limit, options);
    const firstIndex = options.firstIndex ?? 0;
    try {
      const {
        ids,
        tokenTypes,
        lengths,
        details,
        texts: of,
        repeatsAt,
      } = await this.#encode(texts, limit, options);
      this.#refuseUnembedded(ids, lengths, of, firstIndex);
      return {
        ids,
        tokenTypes: this.#givesTypes ? tokenTypes : undefined,
        lengths,
        details,
        texts: of?.map((index) => index + firstIndex),
        repeatsAt,
      };
    } catch (error) {
      if (error instanceof TooLongFailure) throw tooLong(error, firstIndex);
      throw error;
    }
  }

  /** Tokenizes no more of long texts than is kept of them, where that gives the same. */
  async #encode(texts: string[], limit: number, options: EncodeOptions): Promise<EncodedReply> {
    const { pairs, stride, signal, pairTruncation = 'longestFirst' } = options;
    const { locality } = this.#ready;
    const whole = { texts, pairs, cut: undefined };
    const onlySecond = pairTruncation === 'onlySecond';
    for (let characters = CHARACTERS_PER_TOKEN * limit; ; characters *= GROWTH) {
      const part =
        locality && stride === undefined
          ? beginnings({ texts, pairs, onlySecond }, characters, locality)
          : undefined;
      const request = {
        kind: 'encode',
        ...(part ?? whole),
        prefix: options.prefix ?? '',
        limit,
        truncate: options.truncate ?? true,
        pairTruncation,
        stride,
        specialTokens: options.specialTokens ?? true,
        details: options.details ?? false,
      } as const;
      const reply = await this.#lease.thread.encode(request, signal);
      if (reply.kind === 'encoded') return reply;
    }
  }

  /** The texts of sequences of ids, with or without special tokens. */
  async decode(
    sequences: readonly Int32Array[],
    options: { skipSpecialTokens?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<string[]> {
    const lengths = Int32Array.from(sequences, ({ length }) => length);
    const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
    let end = 0;
    for (const sequence of sequences) {
      ids.set(sequence, end);
      end += sequence.length;
    }
    const { skipSpecialTokens = false, signal } = options;
    const request = { kind: 'decode', ids, lengths, skipSpecialTokens } as const;
    return (await this.#lease.thread.decode(request, signal)).texts;
  }

  /** The ids of tokens as the vocabulary spells them; undefined for those it lacks. */
  async tokenIds(tokens: readonly string[], signal?: AbortSignal): Promise<(number | undefined)[]> {
    return (await this.#lease.thread.tokenIds({ kind: 'tokenIds', tokens }, signal)).ids;
  }

  /** Tokens at the head of a sequence that starts with `prefix`: leading special tokens and its own. */
  async prefixLength(prefix: string, signal?: AbortSignal): Promise<number> {
    const request = { kind: 'prefixLength', prefix, limit: this.maxLength } as const;
    return (await this.#lease.thread.prefixLength(request, signal)).tokens;
  }

  #refuseUnembedded(
    ids: Int32Array,
    lengths: Int32Array,
    texts: Int32Array | undefined,
    firstIndex: number,
  ): void {
    if (this.#ready.vocabSize <= this.#embedded) return;
    const at = ids.findIndex((id) => id >= this.#embedded);
    if (at < 0) return;
    let sequence = 0;
    for (let end = lengths[0]!; end <= at; end += lengths[++sequence]!);
    const text = firstIndex + (texts?.[sequence] ?? sequence);
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `Text ${text} has a token of id ${ids[at]}, for which the model has no embedding (it has ${this.#embedded}).`,
      { field: `texts[${text}]` },
    );
  }

  #checkRoom(limit: number, { pairs, specialTokens = true, stride = 0 }: EncodeOptions): void {
    const added = pairs ? this.#ready.pairSpecialTokens : this.#ready.specialTokens;
    const room = limit - (specialTokens ? added : 0);
    if (room > stride) return;
    const [field, what] =
      room > 0 ? ['stride', `a stride of ${stride}`] : ['maxLength', `${added} special tokens`];
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `A limit of ${limit} tokens leaves no room for text beside ${what}.`,
      { field },
    );
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

function tooLong(
  { where: { index, tokens, more, limit, noRoom } }: TooLongFailure,
  firstIndex: number,
): PadlessError {
  const at = firstIndex + index;
  const fix = noRoom
    ? 'what cannot be cut of it leaves no room for the rest. Shorten it.'
    : 'shorten it, or pass truncate: true to cut it.';
  return new PadlessError(
    'E_TOO_LONG',
    `Text ${at} has ${more ? 'more than ' : ''}${tokens} tokens and the limit is ${limit}; ${fix}`,
    {
      field: `texts[${at}]`,
    },
  );
}
