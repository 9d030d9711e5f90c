/** Milliseconds of work in one turn of the event loop. */
const SLICE_MS = 2;

/** Elements moved at once: 512 KiB of floats, about 0.1 ms. */
const COPY_ELEMENTS = 1 << 17;

/** Lets the event loop turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Runs the steps of `work` and lets the event loop turn whenever they have taken a slice. */
export async function sliced(work: Iterator<void>): Promise<void> {
  let start = performance.now();
  while (!work.next().done) {
    if (performance.now() - start < SLICE_MS) continue;
    await nextTurn();
    start = performance.now();
  }
}

/** The steps of `target.set(source, offset)`. */
export function* copySteps(target: Float32Array, source: Float32Array, offset: number): Generator<void> {
  for (let from = 0; from < source.length; from += COPY_ELEMENTS) {
    target.set(source.subarray(from, from + COPY_ELEMENTS), offset + from);
    yield;
  }
}

/** `target.set(source, offset)` without holding the event loop. */
export function copySliced(target: Float32Array, source: Float32Array, offset: number): Promise<void> {
  return sliced(copySteps(target, source, offset));
}
