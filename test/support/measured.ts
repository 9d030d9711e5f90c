// Errors that the device suites measure, for docs/models.md: see scripts/models-doc.mjs.
import { appendFileSync } from 'node:fs';

/** One fixture's worst error on one device. */
export interface Measured {
  /** Name of the fixture of test/goldens/models. */
  fixture: string;
  output: 'last_hidden_state' | 'logits';
  /** `cpu, avx2`, `emulator:0`, ... */
  device: string;
  /** Relative L2 error in f32 against transformers in float64, the worst sequence. */
  error: number;
}

/** Appends a line of JSON to the file that PADLESS_MEASURED names, if it names one. */
export function recordError(measured: Measured): void {
  const file = process.env['PADLESS_MEASURED'];
  if (file) appendFileSync(file, `${JSON.stringify(measured)}\n`);
}
