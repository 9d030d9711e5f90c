import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { PadlessError } from '../errors';

/** How the file begins that `git clone` leaves in the place of a large one where Git LFS is not installed. */
const POINTER = 'version https://git-lfs.github.com/spec/';

async function isPointer(file: string): Promise<boolean> {
  // A pipe must not block.
  const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if (!(await handle.stat()).isFile()) return false;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(POINTER.length), 0, POINTER.length, 0);
    return buffer.toString('latin1', 0, bytesRead) === POINTER;
  } finally {
    await handle.close();
  }
}

/** `error`, which reading `file` gave; one that says how to get the file where a pointer stands for it. */
export async function orPointer(error: unknown, file: string): Promise<unknown> {
  if (!(error instanceof PadlessError) || !(await isPointer(file).catch(() => false))) return error;
  return new PadlessError(
    error.code,
    `${file} is a pointer of Git LFS, not the file itself: run "git lfs pull" in its repository.`,
    { field: error.field, cause: error },
  );
}
