import { createHash } from 'node:crypto';
import { mkdir, open, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import type { Device } from './device';
import { PadlessError } from './errors';

/** Of what a key says, or of how weights are packed: files of another version are not read. */
const VERSION = 1;
const SAMPLES = 256;
const SAMPLE_BYTES = 4096;

/** Where packed weights are kept, and all that they depend on besides the layouts of the device. */
export interface PackedCacheFile {
  path: string;
  key: string;
}

/**
 * What a weight file is: its place, size and time, its header, and pieces from all over its data, since copies may
 * keep the time, and models that are trained from one another have the same header.
 */
async function identity(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size, mtimeNs } = await handle.stat({ bigint: true });
    const hash = createHash('sha256');
    const piece = Buffer.alloc(SAMPLE_BYTES);
    const bytes = Number(size);
    const count = Math.min(SAMPLES, Math.ceil(bytes / SAMPLE_BYTES));
    for (let i = 0; i < count; i++) {
      const at = count > 1 ? Math.floor(((bytes - SAMPLE_BYTES) * i) / (count - 1)) : 0;
      const { bytesRead } = await handle.read(piece, 0, SAMPLE_BYTES, Math.max(0, at));
      hash.update(piece.subarray(0, bytesRead));
    }
    return [await realpath(file), size, mtimeNs, hash.digest('hex')].join(':');
  } finally {
    await handle.close();
  }
}

/**
 * The file in `directory` for what these weight files become on this device. Makes the directory; one that cannot be
 * made shows when the file is written.
 *
 * @throws PadlessError E_UNSUPPORTED for a device whose weights are not kept in files.
 */
export async function packedCacheFile(
  directory: string,
  files: readonly string[],
  spec: Readonly<Record<string, unknown>>,
  device: Device,
): Promise<PackedCacheFile> {
  if (device.info.name !== 'cpu') {
    throw new PadlessError(
      'E_UNSUPPORTED',
      `cacheDir keeps weights that were packed for the cpu; ${device.info.name} packs its own at every load: leave cacheDir out.`,
      { field: 'cacheDir' },
    );
  }
  await mkdir(directory, { recursive: true }).catch(() => undefined);
  const identities = await Promise.all(files.map(identity));
  const key = JSON.stringify([VERSION, spec, identities.sort()]);
  // The layouts are part of the native key; the instruction set keeps machines from replacing each other's files.
  const name = createHash('sha256').update(`${device.info.isa}\n${key}`).digest('hex').slice(0, 32);
  return { path: join(resolve(directory), `${name}.packed`), key };
}
