import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The built command line. */
export const MAIN = join(__dirname, '../../dist/cli/main.js');

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `padless ARGS` to its end. */
export function padless(args: readonly string[], input = ''): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    input,
  });
  return { status, stdout, stderr };
}
