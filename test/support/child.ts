// Programs that run in a process of their own, on the built package.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const root = join(__dirname, '../..');

/** What a program begins with: the package as its users have it. */
export const prelude = `const padless = require(${JSON.stringify(join(root, 'dist/index.js'))});\n`;

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

/** Runs JavaScript with node; a program that does not end by itself in time is killed, and shows a signal. */
export function runProgram(
  source: string,
  flags: string[] = [],
  milliseconds = 60_000,
  env: Record<string, string> = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '-e', prelude + source], {
      timeout: milliseconds,
      killSignal: 'SIGKILL',
      env: { ...process.env, ...env },
    });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
}
