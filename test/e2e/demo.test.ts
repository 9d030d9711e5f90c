import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '../..');

test('the demo makes a model, saves tokens and shows neighbours; the model it keeps can be embedded with', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'padless-demo-test-'));
  const padless = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
      encoding: 'utf8',
      timeout: 200_000,
    });
  try {
    const { status, stdout, stderr } = padless('demo', '--keep', scratch);
    expect({ status, stderr: stderr.trim() }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('RANDOM weights');
    const row = (name: string) => Number(new RegExp(`${name}\\s+(\\d+)`).exec(stdout)![1]);
    expect(row('packed')).toBeLessThan(row('sorted, then padded'));
    expect(row('sorted, then padded')).toBeLessThan(row('padded to the longest'));
    expect(stdout).toMatch(/nearest neighbours/);
    const config = JSON.parse(readFileSync(join(scratch, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ num_hidden_layers: 6, hidden_size: 384 });
    expect(existsSync(join(scratch, 'tokenizer.json'))).toBe(true);
    const embedded = padless('embed', '--model', scratch, '--json', 'Weigh the flour.', 'weigh  the FLOUR.');
    const [one, two] = (JSON.parse(embedded.stdout) as { embeddings: number[][] }).embeddings;
    expect(one).toHaveLength(384);
    expect(two).toEqual(one);
    expect(Math.hypot(...one!)).toBeCloseTo(1, 5);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}, 240_000);
