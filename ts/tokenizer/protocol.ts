import type { ErrorCode } from '../errors';

/** The side of a text beyond the limit that is cut off. */
export type TruncationSide = 'left' | 'right';

/** What a tokenizer thread is started with. */
export interface TokenizerSetup {
  /** Path of tokenizer.json. */
  file: string;
  /** Lower-case before everything else (`do_lower_case` of sentence_bert_config.json). */
  lowerCase: boolean;
  /** Undefined where tokenizer.json decides. */
  truncationSide: TruncationSide | undefined;
  padToken: string | undefined;
  /** What they may be called; the first that is in the vocabulary counts. */
  maskTokens: readonly string[];
  unknownTokens: readonly string[];
  addedToken: Readonly<Partial<Record<'bos' | 'eos', string>>>;
}

/**
 * Where a long text may be cut before it is tokenized: at spaces between letters of words, or between ideographs too.
 */
export type Locality = 'words' | 'wordsAndHan';

/** The thread's first message, when tokenizer.json is loaded. */
export interface TokenizerReady {
  kind: 'ready';
  /** Number of ids, added tokens included. */
  vocabSize: number;
  /** Without them. */
  baseVocabSize: number;
  /** Whether `addedToken` begins and ends an encoded text. */
  around: { bos: boolean; eos: boolean };
  /** Whether its own normalizer makes small letters of capitals. */
  lowersCase: boolean;
  /** Id of `padToken`, where it is in the vocabulary. */
  padId: number | undefined;
  /** Ids of `maskTokens` and `unknownTokens`, where the vocabulary has one of them. */
  maskId: number | undefined;
  unknownId: number | undefined;
  /** Whether tokens that go on with a word are marked as such, like WordPiece's `##ing`. */
  marksSubwords: boolean;
  /** Undefined where the tokens at the beginning of a text may depend on all of it. */
  locality: Locality | undefined;
  /** Special tokens that the post-processor adds to one text. */
  specialTokens: number;
  /** Those that it adds to a pair. */
  pairSpecialTokens: number;
}

/** What is cut from a pair beyond the limit: the end of the longer text token by token, or of the second. */
export type PairTruncation = 'longestFirst' | 'onlySecond';

export interface EncodeRequest {
  kind: 'encode';
  id: number;
  texts: string[];
  /** Second texts, one for each of `texts`. */
  pairs: string[] | undefined;
  /** For each: 0 where only the beginning of the text is given, 1 where only that of its pair is. */
  cut: readonly (0 | 1 | undefined)[] | undefined;
  /** Put before each of `texts`. */
  prefix: string;
  /** Most tokens of one sequence, special tokens included. */
  limit: number;
  /** Cut what is beyond the limit; otherwise E_TOO_LONG. */
  truncate: boolean;
  pairTruncation: PairTruncation;
  /** Split what is beyond the limit into windows that overlap by so many tokens. */
  stride: number | undefined;
  specialTokens: boolean;
  details: boolean;
}

/** Asks for the tokens that a prompt takes at the head of a sequence: leading special tokens and its own. */
export interface PrefixLengthRequest {
  kind: 'prefixLength';
  id: number;
  prefix: string;
  limit: number;
}

/** Asks for the texts of sequences of ids, back to back as in {@link TokenizedChunk}. */
export interface DecodeRequest {
  kind: 'decode';
  id: number;
  ids: Int32Array;
  lengths: Int32Array;
  skipSpecialTokens: boolean;
}

/** Asks for the ids of tokens by name. */
export interface TokenIdsRequest {
  kind: 'tokenIds';
  id: number;
  tokens: readonly string[];
}

export type TokenizerRequest = EncodeRequest | PrefixLengthRequest | DecodeRequest | TokenIdsRequest;

/** Nobody waits any more for the reply to the request of this id, which need not be computed. */
export interface Cancellation {
  kind: 'cancel';
  id: number;
}

/** Where the tokens of sequences stand in their texts. */
export interface TokenDetails {
  /**
   * Begin and end of each token in its text, [T, 2], in UTF-16 units, as a JavaScript string counts. [0, 0] for
   * tokens that the post-processor adds and those of the prefix. Tokens that are parts of one character all have
   * the whole of it.
   */
  offsets: Int32Array;
  /** Index of each token's word, [T], as the pre-tokenizer splits its text; -1 where it belongs to none. */
  words: Int32Array;
  /** 0 for the text, 1 for its pair, -1 for special tokens that the post-processor adds; [T]. */
  segments: Int8Array;
}

/** Sequences back to back: `ids` and `tokenTypes` [T], `lengths` [B]. */
export interface TokenizedChunk {
  ids: Int32Array;
  /** Absent when all are 0. */
  tokenTypes: Int32Array | undefined;
  lengths: Int32Array;
  /** Where they were asked for. */
  details?: TokenDetails | undefined;
  /** [B], where a stride was given: index of the text that each window is of. */
  texts?: Int32Array | undefined;
  /** [B], likewise: where in each window the tokens begin that it repeats, `stride` of them; -1 where none are. */
  repeatsAt?: Int32Array | undefined;
  /** [B], where not all are: tokens at the head of each sequence that attention sees as keys. */
  keyCounts?: Int32Array | undefined;
}

export interface EncodedReply extends TokenizedChunk {
  kind: 'encoded';
  id: number;
}

/** A text that was cut might have other tokens than its beginning gives: more of it is needed. */
export interface CutTooShortReply {
  kind: 'cutTooShort';
  id: number;
}

export interface PrefixLengthReply {
  kind: 'prefixLength';
  id: number;
  tokens: number;
}

export interface DecodedReply {
  kind: 'decoded';
  id: number;
  texts: string[];
}

export interface TokenIdsReply {
  kind: 'tokenIds';
  id: number;
  ids: (number | undefined)[];
}

export interface FailureReply {
  kind: 'failed';
  /** The request at fault; undefined when loading failed. */
  id: number | undefined;
  code: ErrorCode;
  message: string;
  /** For E_TOO_LONG: the index of the text within the request, its tokens and the limit. */
  tooLong?: TooLong;
}

export interface TooLong {
  index: number;
  tokens: number;
  /** There are more: the text was cut. */
  more: boolean;
  limit: number;
  /** No part of the second text, or none longer than the stride, has room beside the first. */
  noRoom: boolean;
}

export type TokenizerReply =
  | TokenizerReady
  | EncodedReply
  | CutTooShortReply
  | PrefixLengthReply
  | DecodedReply
  | FailureReply
  | TokenIdsReply;
