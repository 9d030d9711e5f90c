import { PadlessError } from '../errors';
import type { NativeTensor } from '../native';
import type { Check } from '../options';
import { PackedBatch } from '../packed';
import type { Stream } from '../stream';
import { type DType, Tensor } from '../tensor';
import type { LinearWeight } from '../weight';

/** An option of every op. */
export interface OpOptions {
  /** The queue that the op joins; the default stream of the operands' device by default. */
  stream?: Stream | undefined;
}

export type FloatTensor = Tensor<'f32'> | Tensor<'f16'> | Tensor<'bf16'> | Tensor;

const floats: readonly DType[] = ['f32', 'f16', 'bf16'];

/** The checks of one call of an op: each throws E_INVALID_ARGUMENT naming the op and the operand. */
export class Call {
  readonly #operands: [string, Tensor | LinearWeight][] = [];
  constructor(readonly op: string) {}

  fail(message: string, field: string): never {
    throw new PadlessError('E_INVALID_ARGUMENT', `${this.op}: ${message}`, { field });
  }

  /** A float tensor of at least `rank` dimensions. */
  tensor(value: unknown, field: string, rank = 1): Tensor {
    if (!(value instanceof Tensor)) return this.fail(`${field} must be a Tensor.`, field);
    if (!floats.includes(value.dtype))
      this.fail(`${field} is ${value.dtype}; it must be f32, f16 or bf16.`, field);
    if (value.shape.length < rank)
      this.fail(`${field} is [${value.shape}]; it needs ${rank} dimensions or more.`, field);
    this.#operands.push([field, value]);
    return value;
  }

  /** A tensor of exactly this shape, and dtype where one is given. */
  shaped(value: unknown, field: string, shape: readonly number[], dtype?: DType): Tensor {
    const tensor = this.tensor(value, field);
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      this.fail(`${field} is [${tensor.shape}]; it must be [${shape}].`, field);
    }
    if (dtype && tensor.dtype !== dtype)
      this.fail(`${field} is ${tensor.dtype}; it must be ${dtype}.`, field);
    return tensor;
  }

  weight(value: LinearWeight, field: string): LinearWeight {
    this.#operands.push([field, value]);
    return value;
  }

  batch(value: unknown): PackedBatch {
    return value instanceof PackedBatch ? value : this.fail('batch must be a PackedBatch.', 'batch');
  }

  /** The stream to join; all operands must be on its device. */
  stream(given: Stream | undefined): Stream {
    const stream = given ?? this.#operands[0]![1].device.defaultStream;
    for (const [field, operand] of this.#operands) {
      if (operand.device !== stream.device) {
        this.fail(`${field} is on ${operand.device.name}, the stream on ${stream.device.name}.`, field);
      }
    }
    return stream;
  }
}

/** A tensor as a matrix: its last dimension, and the product of the others. */
export function matrix(tensor: Tensor): { rows: number; cols: number } {
  const cols = tensor.shape[tensor.shape.length - 1]!;
  return { rows: tensor.shape.slice(0, -1).reduce((product, dim) => product * dim, 1), cols };
}

export const optionalTensor = (tensor: Tensor | undefined): NativeTensor | null => tensor?.native ?? null;

/** Tensors are checked by the op, which knows their shapes. */
export const any: Check<unknown> = (value) => value;
