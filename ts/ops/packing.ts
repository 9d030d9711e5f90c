import { native } from '../errors';
import { addon } from '../native';
import { checkOptions } from '../options';
import { type Integers, LARGEST, PackedBatch } from '../packed';
import { streamOption } from '../stream';
import { type DType, Tensor } from '../tensor';
import { Call, type OpOptions } from './call';

/** Row of each token in the padded array [B * length]. */
function paddedRows(call: Call, batch: PackedBatch, length: number): Int32Array {
  const { cuSeqlens, positions } = batch;
  const rows = new Int32Array(batch.tokens);
  for (let b = 0; b < batch.sequences; b++) {
    for (let t = cuSeqlens[b]!; t < cuSeqlens[b + 1]!; t++) {
      if (positions[t]! >= length) {
        call.fail(
          `position ${positions[t]} of sequence ${b} lies beyond the padded length ${length}.`,
          'batch',
        );
      }
      rows[t] = b * length + positions[t]!;
    }
  }
  return rows;
}

/**
 * Drops the padding of a tensor.
 *
 * @param padded [B, L, H]
 * @param rows which of the B * L rows stay: a batch made by {@link PackedBatch.fromPadded}, or the mask itself,
 * [B * L] of 0 and 1.
 * @returns [T, H], the dtype of `padded`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED.
 */
export function pack<D extends DType>(
  padded: Tensor<D>,
  rows: PackedBatch | Integers,
  options?: OpOptions,
): Tensor<D> {
  const call = new Call('pack');
  const { stream: given } = checkOptions('pack', options, { stream: streamOption });
  const x = call.tensor(padded, 'padded', 3);
  if (x.shape.length !== 3)
    call.fail(`padded is [${x.shape}]; it must be [sequences, length, columns].`, 'padded');
  const [sequences, length, cols] = x.shape as [number, number, number];
  const batch =
    rows instanceof PackedBatch
      ? rows
      : PackedBatch.fromPadded(new Int32Array(rows.length), rows, [sequences, length]);
  if (batch.sequences !== sequences) {
    call.fail(`the batch has ${batch.sequences} sequences, padded has ${sequences}.`, 'batch');
  }
  const stream = call.stream(given);
  const indices = paddedRows(call, batch, length);
  const handle = native(() => addon.gatherRows(stream.native, x.native, sequences * length, cols, indices));
  return new Tensor(stream, padded.dtype, [batch.tokens, cols], handle);
}

/**
 * Puts the padding back: token t of sequence b goes to column `positions[t]` of row b, everything else is zero.
 *
 * @param packed [T, H]
 * @param paddedLength L
 * @returns [B, L, H], the dtype of `packed`.
 * @throws PadlessError E_INVALID_ARGUMENT, also for positions beyond L and for two tokens at one place; E_DISPOSED.
 */
export function unpack<D extends DType>(
  packed: Tensor<D>,
  batch: PackedBatch,
  paddedLength: number,
  options?: OpOptions,
): Tensor<D> {
  const call = new Call('unpack');
  const { stream: given } = checkOptions('unpack', options, { stream: streamOption });
  const { tokens, sequences } = call.batch(batch);
  const x = call.tensor(packed, 'packed', 2);
  const cols = x.shape[1]!;
  call.shaped(packed, 'packed', [tokens, cols]);
  if (!Number.isSafeInteger(paddedLength) || paddedLength < 0) {
    call.fail('paddedLength must be an integer of at least 0.', 'paddedLength');
  }
  if (sequences * paddedLength > LARGEST) {
    call.fail(
      `${sequences} * ${paddedLength} rows are more than the ${LARGEST} of one tensor.`,
      'paddedLength',
    );
  }
  const stream = call.stream(given);
  const indices = new Int32Array(sequences * paddedLength).fill(-1);
  paddedRows(call, batch, paddedLength).forEach((row, t) => {
    if (indices[row] !== -1) call.fail(`tokens ${indices[row]} and ${t} have the same position.`, 'batch');
    indices[row] = t;
  });
  const handle = native(() => addon.gatherRows(stream.native, x.native, tokens, cols, indices));
  return new Tensor(stream, packed.dtype, [sequences, paddedLength, cols], handle);
}
