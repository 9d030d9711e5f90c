import { createHash } from 'node:crypto';
import { mkdir, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import type { Device } from './device';
import { PadlessError } from './errors';

/** Of what a key says, or of how weights are packed: files of another version are not read. */
const VERSION = 1;
const SAMPLES = 256;
const SAMPLE_BYTES = 4096;
/** No file takes so long to write: its writer has died. */
const ABANDONED_MS = 3_600_000;

/** Where packed weights are kept, and all that they depend on besides the layouts of the device. */
export interface PackedCacheFile {
  path: string;
  key: string;
}

/**
 * What a weight file is beside its place: its size and time, its header, and pieces from all over its data, since
 * copies may keep the time, and models that are trained from one another have the same header.
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
    return [size, mtimeNs, hash.digest('hex')].join(':');
  } finally {
    await handle.close();
  }
}

/** Deletes what processes that died while they wrote the file called `name` have left. */
async function removeAbandoned(directory: string, name: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const part of names.filter((other) => other.startsWith(`${name}.`) && other.endsWith('.partial'))) {
    const path = join(directory, part);
    const written = await stat(path).catch(() => undefined);
    if (written && Date.now() - written.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}

/**
 * The file in `directory` for what these weight files become on this device. Its name says where the files are and not
 * what they hold, so that weights which replace others also replace what was kept of them. Makes the directory; one
 * that cannot be made shows when the file is written.
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
  const places = (await Promise.all(files.map((file) => realpath(file)))).sort();
  const identities = await Promise.all(places.map(identity));
  const key = JSON.stringify([VERSION, spec, places, identities]);
  // The layouts are part of the native key; the instruction set keeps machines from replacing each other's files.
  const place = JSON.stringify([device.info.isa, spec, places]);
  const name = `${createHash('sha256').update(place).digest('hex').slice(0, 32)}.packed`;
  await removeAbandoned(directory, name);
  return { path: join(resolve(directory), name), key };
}
