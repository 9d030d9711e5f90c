import type { ErrorCode } from '../errors';

/** What a tokenizer thread is started with. */
export interface TokenizerSetup {
  /** Path of tokenizer.json. */
  file: string;
  /** Lower-case before everything else (`do_lower_case` of sentence_bert_config.json). */
  lowerCase: boolean;
  truncationSide: 'left' | 'right';
  padToken: string | undefined;
}

/** The thread's first message, when tokenizer.json is loaded. */
export interface TokenizerReady {
  kind: 'ready';
  /** Number of ids, added tokens included. */
  vocabSize: number;
  /** Id of `padToken`, where it is in the vocabulary. */
  padId: number | undefined;
  /** Special tokens that the post-processor adds to one text. */
  specialTokens: number;
}

export interface EncodeRequest {
  kind: 'encode';
  id: number;
  texts: string[];
  /** Second texts, one for each of `texts`. */
  pairs: string[] | undefined;
  /** Put before each of `texts`. */
  prefix: string;
  /** Most tokens of one sequence, special tokens included. */
  limit: number;
  /** Cut what is beyond the limit; otherwise E_TOO_LONG. */
  truncate: boolean;
  specialTokens: boolean;
}

/** Asks for the tokens that a prompt takes at the head of a sequence: leading special tokens and its own. */
export interface PrefixLengthRequest {
  kind: 'prefixLength';
  id: number;
  prefix: string;
  limit: number;
}

export type TokenizerRequest = EncodeRequest | PrefixLengthRequest;

/** Sequences back to back: `ids` and `tokenTypes` [T], `lengths` [B]. */
export interface TokenizedChunk {
  ids: Int32Array;
  /** Absent when all are 0. */
  tokenTypes: Int32Array | undefined;
  lengths: Int32Array;
}

export interface EncodedReply extends TokenizedChunk {
  kind: 'encoded';
  id: number;
}

export interface PrefixLengthReply {
  kind: 'prefixLength';
  id: number;
  tokens: number;
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
  limit: number;
}

export type TokenizerReply = TokenizerReady | EncodedReply | PrefixLengthReply | FailureReply;
