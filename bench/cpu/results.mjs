// The results file: what was measured, where, with what.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { dirname, join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;

function git(...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

/** The commit that was measured, and whether files differ from it. */
export function commit() {
  return { commit: git('rev-parse', 'HEAD') ?? null, dirty: git('status', '--porcelain', '-uno') !== '' };
}

export function machine() {
  return {
    cpu: cpus()[0].model.trim(),
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
  };
}

export function defaultOutput({ isa }) {
  const kind = isa === 'auto' ? 'cpu' : `cpu-${isa}`;
  return join(root, 'bench/results', `${kind}-${(commit().commit ?? 'unknown').slice(0, 7)}.json`);
}

/** Results that are saved after every group, so that a run that ends early has not been in vain. */
export class Results {
  constructor(path, facts, resume) {
    this.path = path;
    this.data = { kind: 'cpu', ...facts, groups: [], memory: [] };
    if (resume && existsSync(path)) this.#adopt(JSON.parse(readFileSync(path, 'utf8')));
    mkdirSync(dirname(path), { recursive: true });
  }

  #adopt(earlier) {
    const same =
      ['commit', 'dirty'].every((key) => earlier[key] === this.data[key]) &&
      ['seed', 'threads', 'isa'].every((key) => earlier.options[key] === this.data.options[key]);
    if (!same)
      throw new Error(
        `${this.path} is of another commit, seed, number of threads or isa; --output names another file`,
      );
    this.data.groups = earlier.groups;
    this.data.memory = earlier.memory;
    this.data.absent = earlier.absent;
  }

  has(key) {
    return this.data.groups.some((group) => group.key === key);
  }

  hasMemory(model, dtype) {
    return this.data.memory.some((entry) => entry.model === model && entry.dtype === dtype);
  }

  save() {
    this.data.finished = new Date().toISOString();
    const partial = `${this.path}.partial`;
    writeFileSync(partial, `${JSON.stringify(this.data, null, 1)}\n`);
    renameSync(partial, this.path);
  }
}
