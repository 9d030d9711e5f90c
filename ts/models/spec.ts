import type { Reader } from './reader';

export type Activation = 'none' | 'gelu' | 'gelu_tanh' | 'relu' | 'silu' | 'tanh' | 'sigmoid';

/** One layer: which tensors it uses, and what sets it apart from the others. */
export interface LayerSpec {
  /** Number of its tensors, `layers.{weights}.`; layers with the same number share them (ALBERT). */
  weights: number;
  /** Keys after the query are not seen. */
  causal: boolean;
  /** How far before and after its query a key may be; -1 for any distance. */
  windowLeft: number;
  windowRight: number;
  /** Index into `ropes`, or -1. */
  rope: number;
  /** Several feed-forwards, of which each token takes some. */
  experts: boolean;
  /** False where a pre-norm layer's attention reads the residual stream as it is (ModernBERT's first). */
  attentionNorm: boolean;
}

/** Rotary positions (RoFormer, arXiv:2104.09864). */
export interface RopeSpec {
  /** Columns of a head that turn, the first ones. */
  rotaryDim: number;
  /** Columns 2i and 2i + 1 are a pair; otherwise i and i + rotaryDim / 2. */
  interleaved: boolean;
  /** Radians a position, [rotaryDim / 2]. */
  frequencies: readonly number[];
  /** Of cosine and sine (YaRN's and LongRoPE's attention factor). */
  factor: number;
  /**
   * What changes for sequences longer than `length`: other frequencies (LongRoPE), or dynamic NTK scaling
   * of `theta` by the sequence's own length.
   */
  beyond?: { length: number; frequencies?: readonly number[]; theta?: number; factor?: number };
}

/** What is added to the scores of every layer. */
export type BiasSpec =
  /** -slopes[h] * |query - key| (ALiBi, arXiv:2108.12409, symmetric). */
  | { kind: 'alibi'; slopes: readonly number[] }
  /** table[rows[key - query + reach]][h], one table of `tableRows` for all layers (T5, MPNet). */
  | { kind: 'relative'; tableRows: number; reach: number; rows: Int32Array }
  /** DeBERTa (arXiv:2006.03654): row rows[query - key + reach] of the table, projected in each layer. */
  | {
      kind: 'disentangled';
      tableRows: number;
      reach: number;
      rows: Int32Array;
      /** Content to position, position to content. */
      c2p: boolean;
      p2c: boolean;
      /** Positions are projected by the layer's own key and query weights. */
      sharedProjections: boolean;
      /** The table goes through a norm of its own first. */
      norm: boolean;
    };

/** Low-rank additions to every product and table, one set a task (LoRA, arXiv:2106.09685): W + scale * B A. */
export interface AdapterSpec {
  names: readonly string[];
  /** What a task puts before its texts. */
  instructions: Readonly<Record<string, string>>;
  rank: number;
  scale: number;
}

/** What an encoder computes, as data; the native counterpart is lib/encoder/spec.h. */
export interface EncoderSpec {
  hiddenSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Factor of q k^T before the softmax. */
  attentionScale: number;
  vocabSize: number;
  embeddings: {
    /** Columns of the tables. */
    width: number;
    /** A linear layer takes them to `hiddenSize` (ALBERT, ELECTRA). */
    projection: boolean;
    /** Factor of the word rows (Gemma). */
    wordScale: number;
    norm: boolean;
    /** The norm is of the projected rows (DeBERTa) instead of the tables' (ALBERT, ELECTRA). */
    normAfterProjection: boolean;
    /** Rows of a table whose first row every token gets (ERNIE's task types); 0 for none. */
    addedRows: number;
  };
  /**
   * Row `position + offset` of a table of `rows`; 0 rows for none. With `padId`, a token of that id takes row
   * `offset - 1` and is not counted, as in transformers' create_position_ids_from_input_ids.
   */
  positions: { rows: number; offset: number; padId?: number };
  /** Rows of the token-type table; 0 for none. */
  tokenTypes: number;
  norm: {
    kind: 'layer' | 'rms';
    eps: number;
    /** After the residual sum (BERT), before each block, or before and after each block (Gemma 3). */
    placement: 'post' | 'pre' | 'sandwich';
    /** Norms have a bias (those of heads have none). */
    bias: boolean;
    /** Gains are stored as their difference from 1 (Gemma). */
    gainMinusOne: boolean;
    /** The last layer's result is normed once more. */
    final: boolean;
  };
  /** RMS norm of each query and key head (Qwen3, Gemma 3), with `norm.eps`. */
  queryKeyNorm: boolean;
  /** `glu`: activation(gate) * up instead of activation(up). */
  mlp: {
    kind: 'plain' | 'glu';
    activation: Activation;
    intermediateSize: number;
    /**
     * Of the layers that have experts: a token goes to the `chosen` ones of the largest scores in a softmax over all
     * of them, and these weigh their results.
     */
    experts?: { count: number; chosen: number };
  };
  ropes: readonly RopeSpec[];
  bias?: BiasSpec;
  /** A convolution over the embeddings, added to the first layer's result (DeBERTa v2 xlarge). */
  convolution?: { kernel: number; groups: number; activation: Activation };
  /** Chosen call by call; without a choice nothing is added. */
  adapters?: AdapterSpec;
  layers: readonly LayerSpec[];
  /** Positions that config.json counts. A model without a position table computes beyond; texts are cut there. */
  trainedLength?: number;
  /** Dense + tanh on the first token. Decided by the weights: config.json does not tell. */
  pooler: boolean;
}

/** Rows of a tensor: part `index` of `parts` equal ones, within each of `groups` equal groups. */
export interface RowPart {
  index: number;
  parts: number;
  groups: number;
}

/** A tensor's name in padless, or the names of its parts. */
export type WeightTarget = string | readonly ({ name: string } & RowPart)[];

/** Checkpoint name to padless name; `{i}` stands for a layer's number. */
export type WeightTable = Readonly<Record<string, WeightTarget>>;

/** How one kind of checkpoint is read: config.json to an EncoderSpec, tensor names to padless's own. */
export interface Family {
  /** Values of `model_type`. */
  modelTypes: readonly string[];
  /** Which configs of these types are meant, where another family has the type too. */
  claims?(config: Readonly<Record<string, unknown>>): boolean;
  spec(field: Reader): EncoderSpec;
  /** What a checkpoint with a task head puts before its encoder's names, such as `bert.`. */
  prefixes: readonly string[];
  /**
   * Whether config.json gives the checkpoint the bias `target`, a name of padless's with `{i}` for a layer's number.
   * Without this, all biases that `weights` knows are there.
   */
  hasBias?(target: string, field: Reader): boolean;
  weights: WeightTable | ((spec: EncoderSpec, field: Reader) => WeightTable);
  /** A class of modules.json that the checkpoints' own code brings in place of sentence-transformers' Transformer. */
  customModule?: string;
  /** Names inside the encoder that hold nothing to compute with (buffers of old versions). */
  ignored: readonly string[];
}

/** The longest sequence a spec has positions for. */
export function maxLength(spec: EncoderSpec): number {
  return spec.positions.rows === 0 ? 2 ** 31 - 1 : spec.positions.rows - spec.positions.offset;
}

/** The most tokens of a text, `given` being what the directory says about that. */
export function textLimit(spec: EncoderSpec, given: number | undefined): number {
  return Math.min(maxLength(spec), given ?? spec.trainedLength ?? Infinity);
}

/** Layers of full attention in both directions, each with tensors of its own. */
export function fullLayers(count: number): LayerSpec[] {
  return Array.from({ length: count }, (_, weights) => ({
    weights,
    causal: false,
    windowLeft: -1,
    windowRight: -1,
    rope: -1,
    experts: false,
    attentionNorm: true,
  }));
}
