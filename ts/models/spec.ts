import type { Reader } from './reader';

export type Activation = 'none' | 'gelu' | 'gelu_tanh' | 'relu' | 'silu' | 'tanh' | 'sigmoid';

/** What an encoder computes, as data; the native counterpart is lib/encoder/spec.h. */
export interface EncoderSpec {
  hiddenSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Factor of q k^T before the softmax. */
  attentionScale: number;
  intermediateSize: number;
  activation: Activation;
  vocabSize: number;
  /**
   * Row `position + offset` of a table of `rows`. With `padId`, a token of that id takes row `offset - 1` and
   * is not counted, as in transformers' create_position_ids_from_input_ids.
   */
  positions: { rows: number; offset: number; padId?: number };
  /** Rows of the token-type table; 0 for none. */
  tokenTypes: number;
  norm: { kind: 'layer' | 'rms'; eps: number };
  /** Dense + tanh on the first token. Decided by the weights: config.json does not tell. */
  pooler: boolean;
}

/** How one kind of checkpoint is read: config.json to an EncoderSpec, tensor names to padless's own. */
export interface Family {
  /** Values of `model_type`. */
  modelTypes: readonly string[];
  spec(field: Reader): EncoderSpec;
  /** What a checkpoint with a task head puts before its encoder's names, such as `bert.`. */
  prefixes: readonly string[];
  /** Checkpoint name to padless name; `{i}` stands for a layer's number. */
  weights: Readonly<Record<string, string>>;
  /** Names inside the encoder that hold nothing to compute with (buffers of old versions). */
  ignored: readonly string[];
}

/** The longest sequence a spec has positions for. */
export function maxLength(spec: EncoderSpec): number {
  return spec.positions.rows === 0 ? 2 ** 31 - 1 : spec.positions.rows - spec.positions.offset;
}
