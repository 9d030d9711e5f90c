import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A directory of its own for a test file, removed after its tests. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'padless-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes files under `root`; objects and arrays as JSON. Returns `root`. */
export function writeTree(
  root: string,
  files: Readonly<Record<string, string | Uint8Array | object>>,
): string {
  mkdirSync(root, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
  }
  return root;
}
