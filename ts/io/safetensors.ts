import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { PadlessError } from '../errors';
import { writeError } from './write_error';

/** Bytes of one element, and the array that holds such elements; 16-bit floats are held as their bits. */
const formats = {
  F64: { size: 8, array: Float64Array },
  I64: { size: 8, array: BigInt64Array },
  F32: { size: 4, array: Float32Array },
  I32: { size: 4, array: Int32Array },
  F16: { size: 2, array: Uint16Array },
  BF16: { size: 2, array: Uint16Array },
  I8: { size: 1, array: Int8Array },
  U8: { size: 1, array: Uint8Array },
  BOOL: { size: 1, array: Uint8Array },
} as const;

/** Element types that are read and written here. */
export type SafetensorsDtype = keyof typeof formats;

/**
 * One tensor, row-major. `data` is taken byte by byte, so any view of the right byte length will do, or several,
 * one after another.
 */
export interface SafetensorsTensor {
  dtype: SafetensorsDtype;
  shape: readonly number[];
  data: ArrayBufferView | readonly ArrayBufferView[];
}

/** The array type that `decodeSafetensors` gives for a dtype. */
export type SafetensorsArray = InstanceType<(typeof formats)[SafetensorsDtype]['array']>;

const LENGTH_BYTES = 8;
/** The data starts at a multiple of this, so that a reader may map it as it is. */
const ALIGNMENT = 8;

function badTensor(name: string, message: string): PadlessError {
  return new PadlessError('E_INVALID_ARGUMENT', `Tensor "${name}": ${message}`, { field: name });
}

/** Elements of a shape; throws for anything but non-negative integers. */
function elements(name: string, shape: readonly number[]): number {
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0) || !Number.isSafeInteger(count)) {
    throw badTensor(
      name,
      `shape [${shape.join(', ')}] must hold non-negative integers with a product below 2^53.`,
    );
  }
  return count;
}

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The header with its length in front, and the tensors' bytes in the order of their offsets. */
function layout(
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata: Readonly<Record<string, string>> | undefined,
): Buffer[] {
  // Large elements first: every tensor then starts at a multiple of its element's size.
  const ordered = Object.entries(tensors).sort(
    ([a, { dtype: dtypeA }], [b, { dtype: dtypeB }]) =>
      (formats[dtypeB]?.size ?? 0) - (formats[dtypeA]?.size ?? 0) || byCodeUnits(a, b),
  );
  const entries: [string, unknown][] = [];
  if (metadata) {
    entries.push([
      '__metadata__',
      Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => byCodeUnits(a, b))),
    ]);
  }
  const chunks: Buffer[] = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (name === '__metadata__')
      throw badTensor(name, 'this name is reserved; pass metadata as the second argument.');
    const format = formats[dtype];
    if (!format)
      throw badTensor(name, `unknown dtype "${dtype}"; known are ${Object.keys(formats).join(', ')}.`);
    const bytes = elements(name, shape) * format.size;
    const views = ArrayBuffer.isView(data) ? [data] : data;
    const given = views.reduce((sum, view) => sum + view.byteLength, 0);
    if (given !== bytes) {
      throw badTensor(name, `${dtype} [${shape.join(', ')}] needs ${bytes} bytes, but data has ${given}.`);
    }
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + bytes] }]);
    for (const view of views) chunks.push(Buffer.from(view.buffer, view.byteOffset, view.byteLength));
    offset += bytes;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(LENGTH_BYTES + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  json.copy(header, LENGTH_BYTES);
  return [header, ...chunks];
}

/**
 * A safetensors file in memory. Equal tensors give equal bytes: sorted by element size (large first), then name;
 * the data starts at a multiple of 8 bytes.
 *
 * @throws PadlessError E_INVALID_ARGUMENT, naming the tensor, if dtype, shape and data disagree.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Buffer {
  return Buffer.concat(layout(tensors, metadata));
}

/**
 * Writes what {@link encodeSafetensors} returns without holding it in memory. The file appears under its name
 * only when it is complete and on disk.
 *
 * @throws PadlessError E_NOT_FOUND if its directory is not there, E_NOT_WRITABLE.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const chunks = layout(tensors, metadata);
  // A rename would put the file in the place of a device or a pipe.
  if ((await stat(path).catch(() => undefined))?.isFile() === false) {
    throw new PadlessError('E_NOT_WRITABLE', `${path} is a directory or a device; name a file.`, {
      field: path,
    });
  }
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(path, error as NodeJS.ErrnoException);
  }
}

/** A tensor that was read: a copy in an array of its own. */
export interface DecodedTensor {
  dtype: SafetensorsDtype;
  shape: number[];
  data: SafetensorsArray;
}

/**
 * Reads a small safetensors file in memory, such as an output of `padless run`. Weights are read by native code,
 * which is stricter about the header.
 *
 * @throws PadlessError E_BAD_WEIGHTS if the bytes are not safetensors, E_UNSUPPORTED for other dtypes.
 */
export function decodeSafetensors(bytes: Uint8Array): {
  tensors: Record<string, DecodedTensor>;
  metadata: Record<string, string>;
} {
  const fail = (message: string, cause?: unknown) =>
    new PadlessError('E_BAD_WEIGHTS', `Not a safetensors file: ${message}`, { cause });
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < LENGTH_BYTES) throw fail('it is too short.');
  const start = LENGTH_BYTES + Number(buffer.readBigUInt64LE());
  if (start > buffer.length) throw fail('its header is longer than the file.');
  let header: Record<string, { dtype: SafetensorsDtype; shape: number[]; data_offsets: [number, number] }>;
  try {
    header = JSON.parse(buffer.toString('utf8', LENGTH_BYTES, start));
  } catch (error) {
    throw fail('its header is not JSON.', error);
  }
  const { __metadata__: metadata, ...entries } = header;
  const tensors = Object.entries(entries).map(([name, entry]): [string, DecodedTensor] => {
    const { dtype, shape, data_offsets: offsets } = entry ?? {};
    if (!Array.isArray(shape) || !Array.isArray(offsets))
      throw fail(`tensor "${name}" lacks its shape or offsets.`);
    const format = formats[dtype];
    if (!format)
      throw new PadlessError('E_UNSUPPORTED', `Tensor "${name}" has dtype "${dtype}".`, { field: name });
    const length = elements(name, shape) * format.size;
    const [begin, end] = offsets;
    if (end - begin !== length || begin < 0 || start + end > buffer.length) {
      throw fail(`tensor "${name}" does not lie in the file.`);
    }
    const copy = new Uint8Array(buffer.subarray(start + begin, start + end));
    return [name, { dtype, shape, data: new format.array(copy.buffer) }];
  });
  return {
    tensors: Object.fromEntries(tensors),
    metadata: (metadata ?? {}) as unknown as Record<string, string>,
  };
}
