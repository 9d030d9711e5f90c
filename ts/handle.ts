import { PadlessError } from './errors';

/** Something native that is let go by `dispose()`, or declare it with `using`. */
export abstract class Owner<H extends { dispose(): void }> {
  #handle: H | undefined;
  readonly #name: string;

  /** @internal */
  protected constructor(handle: H, name: string) {
    this.#handle = handle;
    this.#name = name;
  }

  get disposed(): boolean {
    return this.#handle === undefined;
  }

  dispose(): void {
    this.#handle?.dispose();
    this.#handle = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  get native(): H {
    if (this.#handle) return this.#handle;
    throw new PadlessError('E_DISPOSED', `The ${this.#name} has been disposed.`, { field: this.#name });
  }
}
