import { copySliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { Embeddings } from './embeddings';

/** Rows of one batch. */
export interface RowBlock {
  /** [count * dimensions] */
  data: Float32Array;
  count: number;
}

/** Gathers the rows of consecutive batches in one array, whose size the first batch tells. */
export class RowCollector {
  readonly #rows: number;
  #data: Float32Array = new Float32Array(0);
  #dimensions = 0;
  #filled = 0;

  constructor(rows: number) {
    this.#rows = rows;
  }

  async append({ data, count }: RowBlock): Promise<void> {
    const dimensions = data.length / count;
    if (this.#filled === 0) {
      this.#dimensions = dimensions;
      if (count === this.#rows) {
        this.#data = data;
        this.#filled = count;
        return;
      }
      this.#data = new Float32Array(this.#rows * dimensions);
    }
    if (dimensions !== this.#dimensions || this.#filled + count > this.#rows) {
      throw new PadlessError('E_INTERNAL', `A batch of ${count} rows came back with ${data.length} numbers.`);
    }
    await copySliced(this.#data, data, this.#filled * dimensions);
    this.#filled += count;
  }

  embeddings(): Embeddings {
    return new Embeddings(this.#data, this.#filled, this.#dimensions);
  }
}
