// Errors that the device suites measure, for docs/models.md: see scripts/models-doc.mjs.
import { appendFileSync } from 'node:fs';
import type { Compute } from '../../ts/weight';

/** One fixture's worst error on one device. */
export interface Measured {
  /** Name of the fixture of test/goldens/models. */
  fixture: string;
  output: 'last_hidden_state' | 'logits';
  /** `cpu, avx2`, `emulator:0`, ... */
  device: string;
  dtype: Compute;
  /**
   * Relative L2 error against transformers in float64: in f32 that of the worst sequence, in other dtypes over what
   * is stored of all sequences.
   */
  error: number;
}

/** Appends a line of JSON to the file that PADLESS_MEASURED names, if it names one. */
export function recordError(measured: Measured): void {
  const file = process.env['PADLESS_MEASURED'];
  if (file) appendFileSync(file, `${JSON.stringify(measured)}\n`);
}
