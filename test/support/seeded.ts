// Fresh random data for every run; PADLESS_TEST_SEED repeats one.
import { Random } from '../../ts/demo/random';

export const seed = Number(process.env['PADLESS_TEST_SEED'] ?? Date.now() % 1e9);
export const random = new Random(seed);

/** Standard normal numbers, a little off centre. */
export function normals(count: number, spread = 1): Float32Array {
  return Float32Array.from({ length: count }, () => random.normal() * spread + 0.1);
}
