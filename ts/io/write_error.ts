import { dirname } from 'node:path';

import { PadlessError } from '../errors';

/** What the file system refuses to write for, and the fix. */
const REFUSALS: Readonly<Record<string, string>> = {
  EACCES: 'this process may not write there; name another place, or change its permissions',
  EDQUOT: 'the quota of the disk is used up; free some, or name a file on another disk',
  EEXIST: 'something else has a name that is needed for it; name another place',
  EFBIG: 'the file system or a limit (ulimit -f) allows no file of that size; name one on another disk',
  EISDIR: 'it is a directory; name a file',
  EIO: 'the disk failed; name a file on another one',
  ENAMETOOLONG: 'its name is too long; name a shorter one',
  ENOSPC: 'the disk is full; free some space, or name a file on another disk',
  ENOTDIR: 'a part of its path is a file, not a directory',
  EPERM: 'this process may not write there; name another place, or change its permissions',
  EROFS: 'the file system is read-only; name a file on another one',
};

/** E_NOT_FOUND for a directory that is not there, else E_NOT_WRITABLE. */
export function writeError(path: string, cause: NodeJS.ErrnoException): PadlessError {
  const missing = cause.code === 'ENOENT';
  const fix = missing ? `there is no directory ${dirname(path)}; create it` : REFUSALS[cause.code ?? ''];
  return new PadlessError(
    missing ? 'E_NOT_FOUND' : 'E_NOT_WRITABLE',
    `${path} cannot be written: ${fix ? `${fix} (${cause.message})` : cause.message}.`,
    { field: path, cause },
  );
}

/** Runs `work`, which writes `path`; what the file system refuses becomes the error of {@link writeError}. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code !== undefined && code in REFUSALS ? writeError(path, error as NodeJS.ErrnoException) : error;
  }
}
