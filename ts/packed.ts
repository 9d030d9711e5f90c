import { PadlessError } from './errors';
import { checkOptions } from './options';

/** A list of integers: plain, or of any typed array, 64-bit ones included. */
export type Integers = ArrayLike<number> | ArrayLike<bigint>;

/** Token types of {@link PackedBatch.fromSequences}. */
export interface SequenceOptions {
  /** As many arrays, of the same lengths. */
  tokenTypes?: readonly Integers[] | undefined;
}

/** Token types of {@link PackedBatch.fromPadded}. */
export interface PaddedOptions {
  /** [B * L] */
  tokenTypes?: Integers | undefined;
}

/** Arrays of {@link PackedBatch.fromIds}. */
export interface PackedArrays {
  /** [T] */
  ids: Integers;
  /** Starts at 0, never decreases, ends at T; [B + 1]. */
  cuSeqlens: Integers;
  /** [T], counted from 0 in every sequence by default. */
  positions?: Integers | undefined;
  /** [T], all 0 by default. */
  tokenTypes?: Integers | undefined;
}

/** The most tokens or rows that 32 bits count, and the largest id. */
export const LARGEST = 2 ** 31 - 1;

function invalid(message: string, field: string): PadlessError {
  return new PadlessError('E_INVALID_ARGUMENT', `PackedBatch: ${message}`, { field });
}

function isList(value: unknown): value is Integers {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value);
}

/** NaN for what is no number: null, '' and [] are not id 0. */
function toNumber(element: unknown): number {
  return typeof element === 'number' || typeof element === 'bigint' ? Number(element) : NaN;
}

/** Copies integers from 0 to 2^31 - 1 to `target` at `offset`; an error names the place, `field[index]`. */
function copyIntegers(
  source: Integers,
  field: string,
  target: Int32Array,
  offset: number,
  path = field,
): void {
  for (let i = 0; i < source.length; i++) {
    const value = toNumber(source[i]);
    if (!Number.isInteger(value) || value < 0 || value > LARGEST) {
      throw invalid(
        `${path}[${i}] is ${String(source[i])}; it must be an integer from 0 to ${LARGEST}.`,
        field,
      );
    }
    target[offset + i] = value;
  }
}

function toInt32(source: Integers, field: string): Int32Array {
  if (!isList(source)) throw invalid(`${field} must be an array of integers.`, field);
  const copy = new Int32Array(source.length);
  copyIntegers(source, field, copy, 0);
  return copy;
}

function checkCuSeqlens(cuSeqlens: Int32Array, tokens: number): void {
  if (cuSeqlens.length === 0)
    throw invalid('cuSeqlens is empty; it holds B + 1 offsets, [0] for no sequence.', 'cuSeqlens');
  if (cuSeqlens[0] !== 0) throw invalid(`cuSeqlens must start at 0, not ${cuSeqlens[0]}.`, 'cuSeqlens');
  for (let b = 1; b < cuSeqlens.length; b++) {
    if (cuSeqlens[b]! < cuSeqlens[b - 1]!) {
      throw invalid(
        `cuSeqlens decreases at index ${b}: ${cuSeqlens[b - 1]}, then ${cuSeqlens[b]}.`,
        'cuSeqlens',
      );
    }
  }
  const last = cuSeqlens[cuSeqlens.length - 1]!;
  if (last !== tokens) throw invalid(`cuSeqlens ends at ${last}, but there are ${tokens} ids.`, 'cuSeqlens');
}

function countedPositions(cuSeqlens: Int32Array): Int32Array {
  const positions = new Int32Array(cuSeqlens[cuSeqlens.length - 1]!);
  for (let b = 1; b < cuSeqlens.length; b++) {
    const begin = cuSeqlens[b - 1]!;
    for (let t = begin; t < cuSeqlens[b]!; t++) positions[t] = t - begin;
  }
  return positions;
}

/** Offsets of sequences of these lengths; E_INVALID_ARGUMENT for more tokens than 32 bits count. */
function offsets(lengths: readonly number[], field: string): Int32Array {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total > LARGEST) throw invalid(`${total} tokens are more than the ${LARGEST} of one batch.`, field);
  const cuSeqlens = new Int32Array(lengths.length + 1);
  lengths.forEach((length, b) => (cuSeqlens[b + 1] = cuSeqlens[b]! + length));
  return cuSeqlens;
}

/**
 * Sequences of tokens back to back, without padding: token t of sequence b is row `cuSeqlens[b] + t` of every
 * [T, ...] matrix. Empty sequences are legal, so is an empty batch. A batch holds copies of what it was made
 * from and never changes: do not write to its arrays (native code copies and checks them again at every call).
 *
 * @example
 * const batch = PackedBatch.fromSequences([[101, 7592, 102], [101, 102]]);
 * batch.cuSeqlens; // Int32Array [0, 3, 5]
 */
export class PackedBatch {
  private constructor(
    /** [T] */
    readonly ids: Int32Array,
    /** [T], within the sequence, from 0; a batch made of a padded array has the columns of that. */
    readonly positions: Int32Array,
    /** [T]; undefined: all 0. */
    readonly tokenTypes: Int32Array | undefined,
    /** [B + 1] */
    readonly cuSeqlens: Int32Array,
  ) {
    Object.freeze(this);
  }

  /**
   * Packs sequences of token ids.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for ids that are no integers from 0 to 2^31 - 1, and for token types
   * of other lengths.
   */
  static fromSequences(sequences: readonly Integers[], options?: SequenceOptions): PackedBatch {
    if (!Array.isArray(sequences)) throw invalid('sequences must be an array of arrays of ids.', 'sequences');
    const { tokenTypes } = checkOptions('PackedBatch.fromSequences', options, {
      tokenTypes: (value) => value,
    });
    const wrong = sequences.findIndex((sequence) => !isList(sequence));
    if (wrong >= 0) throw invalid(`sequences[${wrong}] must be an array of ids.`, 'sequences');
    const cuSeqlens = offsets(
      sequences.map((sequence) => sequence.length),
      'sequences',
    );
    const pack = (lists: readonly Integers[], field: string) => {
      const packed = new Int32Array(cuSeqlens[sequences.length]!);
      lists.forEach((list, b) => copyIntegers(list, field, packed, cuSeqlens[b]!, `${field}[${b}]`));
      return packed;
    };
    const ids = pack(sequences, 'sequences');
    let types: Int32Array | undefined;
    if (tokenTypes !== undefined) {
      if (!Array.isArray(tokenTypes) || tokenTypes.length !== sequences.length) {
        throw invalid(
          `tokenTypes must be an array of ${sequences.length} arrays, as sequences is.`,
          'tokenTypes',
        );
      }
      tokenTypes.forEach((list: unknown, b) => {
        if (!isList(list) || list.length !== sequences[b]!.length) {
          throw invalid(
            `tokenTypes[${b}] must have the ${sequences[b]!.length} entries of its sequence.`,
            'tokenTypes',
          );
        }
      });
      types = pack(tokenTypes, 'tokenTypes');
    }
    return new PackedBatch(ids, countedPositions(cuSeqlens), types, cuSeqlens);
  }

  /**
   * Drops the padding of an array [B, L]: tokens whose mask is 1 stay, in order. Holes and padding on the left are
   * legal: a token keeps its column as position. Ids under a mask of 0 are not looked at.
   *
   * @param ids [B * L]
   * @param mask [B * L], 0 or 1
   * @param shape [B, L]
   * @throws PadlessError E_INVALID_ARGUMENT, naming the place.
   */
  static fromPadded(
    ids: Integers,
    mask: Integers,
    shape: readonly [number, number],
    options?: PaddedOptions,
  ): PackedBatch {
    const { tokenTypes } = checkOptions('PackedBatch.fromPadded', options, { tokenTypes: (value) => value });
    if (
      !Array.isArray(shape) ||
      shape.length !== 2 ||
      !shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)
    ) {
      throw invalid(`shape must be [sequences, columns], not ${JSON.stringify(shape)}.`, 'shape');
    }
    const [sequences, columns] = shape as [number, number];
    for (const [field, list] of Object.entries({
      ids,
      mask,
      ...(tokenTypes !== undefined && { tokenTypes }),
    })) {
      if (!isList(list) || list.length !== sequences * columns) {
        throw invalid(`${field} must be an array of ${sequences} * ${columns} integers.`, field);
      }
    }
    const kept: number[] = [];
    const lengths = new Array<number>(sequences).fill(0);
    for (let i = 0; i < mask.length; i++) {
      const value = toNumber(mask[i]);
      if (value !== 0 && value !== 1) {
        throw invalid(
          `mask[${i}] is ${String(mask[i])}; a mask holds 1 for tokens and 0 for padding.`,
          'mask',
        );
      }
      if (value === 0) continue;
      kept.push(i);
      lengths[Math.floor(i / columns)]! += 1;
    }
    const pick = (list: Integers, field: string) => {
      const picked = new Int32Array(kept.length);
      kept.forEach((i, t) =>
        copyIntegers([list[i]!] as Integers, field, picked, t, `${field}, element ${i}: `),
      );
      return picked;
    };
    const positions = Int32Array.from(kept, (i) => i % columns);
    const types = tokenTypes === undefined ? undefined : pick(tokenTypes as Integers, 'tokenTypes');
    return new PackedBatch(pick(ids, 'ids'), positions, types, offsets(lengths, 'ids'));
  }

  /**
   * A batch of arrays that are packed already.
   *
   * @throws PadlessError E_INVALID_ARGUMENT, naming the array, where cuSeqlens breaks a rule, lengths disagree, or
   * a value is no integer from 0 to 2^31 - 1.
   */
  static fromIds(arrays: PackedArrays): PackedBatch {
    const any = (value: unknown) => value;
    const given = checkOptions('PackedBatch.fromIds', arrays, {
      ids: any,
      cuSeqlens: any,
      positions: any,
      tokenTypes: any,
    });
    const ids = toInt32(given.ids as Integers, 'ids');
    const cuSeqlens = toInt32(given.cuSeqlens as Integers, 'cuSeqlens');
    checkCuSeqlens(cuSeqlens, ids.length);
    const sameLength = (list: unknown, field: string) => {
      const copy = toInt32(list as Integers, field);
      if (copy.length !== ids.length)
        throw invalid(`${field} has ${copy.length} entries for ${ids.length} ids.`, field);
      return copy;
    };
    const positions =
      given.positions === undefined ? countedPositions(cuSeqlens) : sameLength(given.positions, 'positions');
    const types = given.tokenTypes === undefined ? undefined : sameLength(given.tokenTypes, 'tokenTypes');
    return new PackedBatch(ids, positions, types, cuSeqlens);
  }

  /** T */
  get tokens(): number {
    return this.ids.length;
  }

  /** B */
  get sequences(): number {
    return this.cuSeqlens.length - 1;
  }

  /** [B] */
  get lengths(): Int32Array {
    return Int32Array.from({ length: this.sequences }, (_, b) => this.cuSeqlens[b + 1]! - this.cuSeqlens[b]!);
  }

  /** The longest sequence; 0 for none. */
  get maxLength(): number {
    return this.lengths.reduce((longest, length) => Math.max(longest, length), 0);
  }

  /**
   * Splits the rows of a matrix [T, columns] by sequence: views of `values`, [length, columns] each.
   *
   * @throws PadlessError E_INVALID_ARGUMENT unless `values` has T * columns elements.
   */
  split<A extends { readonly length: number; subarray(begin: number, end: number): A }>(
    values: A,
    columns = 1,
  ): A[] {
    if (values.length !== this.tokens * columns) {
      throw invalid(`${values.length} values are not ${this.tokens} rows of ${columns}.`, 'values');
    }
    return Array.from({ length: this.sequences }, (_, b) =>
      values.subarray(this.cuSeqlens[b]! * columns, this.cuSeqlens[b + 1]! * columns),
    );
  }
}
