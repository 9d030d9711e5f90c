// Programs of bench/native.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runQuietly } from './processes.mjs';

const root = new URL('../..', import.meta.url).pathname;

/** The path of a program, built where it is not built yet or older than its sources: cmake knows. */
export async function buildProgram(name) {
  const build = join(root, 'build', 'bench');
  const configured = existsSync(join(build, 'CMakeCache.txt'))
    ? { status: 0 }
    : await runQuietly('cmake', ['-S', root, '-B', build, '-DPADLESS_NATIVE_TESTS=ON']);
  const built =
    configured.status === 0
      ? await runQuietly('cmake', ['--build', build, '--target', name, '--parallel', '2'])
      : configured;
  if (built.status !== 0)
    throw new Error(`${name} does not build: ${built.errors.trim().split('\n').at(-1)}`);
  return join(build, 'bench', 'native', name);
}
