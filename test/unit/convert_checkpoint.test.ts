// scripts/convert-checkpoint.py, where Python has torch and safetensors (PADLESS_PYTHON names another one).
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ModelDirectory } from '../../ts/models/directory';
import { testIf } from '../support/skips';

const script = join(__dirname, '../../scripts/convert-checkpoint.py');
const python = process.env['PADLESS_PYTHON'] ?? 'python3';
const hasTorch = spawnSync(python, ['-c', 'import torch, safetensors']).status === 0;

let scratch: string;
beforeEach(() => (scratch = mkdtempSync(join(tmpdir(), 'padless-convert-'))));
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const save = (code: string): void => {
  execFileSync(python, [
    '-c',
    `import torch\nfrom pathlib import Path\nd = Path(${JSON.stringify(scratch)})\n${code}`,
  ]);
};
const convert = (...paths: string[]) => spawnSync(python, [script, ...paths], { encoding: 'utf8' });

interface Header {
  __metadata__: Record<string, string>;
  [name: string]: { dtype?: string; shape?: number[]; data_offsets?: [number, number] } & Record<
    string,
    unknown
  >;
}

function read(file: string): { header: Header; bytes: Buffer } {
  const bytes = readFileSync(join(scratch, file));
  const length = Number(bytes.readBigUInt64LE(0));
  return {
    header: JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Header,
    bytes: bytes.subarray(8 + length),
  };
}

const whenTorch = testIf(hasTorch, `convert-checkpoint.py; ${python} has no torch and safetensors`);

whenTorch(
  'converts a directory that then loads: ties, views, folders, a pickle that is no model',
  async () => {
    save(`
w = torch.arange(6.).reshape(2, 3)
torch.save({'word.weight': w, 'turned': w.t(), 'decoder.weight': w, 'half': w.half(), 'step': 7}, d / 'pytorch_model.bin')
(d / '2_Dense').mkdir()
torch.save({'linear.weight': w[1]}, d / '2_Dense' / 'pytorch_model.bin')
torch.save({'state_dict': {'weight': w}}, d / 'sparse_linear.pt')
torch.save({'a': 1}, d / 'training_args.bin')`);
    const result = convert(scratch);
    expect([result.status, result.stderr]).toEqual([0, '']);
    expect(result.stdout).toContain('step');
    const { header, bytes } = read('model.safetensors');
    expect(header.__metadata__).toEqual({ format: 'pt', 'decoder.weight': 'word.weight' });
    expect(header['turned']).toMatchObject({ dtype: 'F32', shape: [3, 2] });
    expect(header['half']).toMatchObject({ dtype: 'F16', shape: [2, 3] });
    const [from] = header['turned']!.data_offsets!;
    expect(Array.from({ length: 6 }, (_, i) => bytes.readFloatLE(from + 4 * i))).toEqual([0, 3, 1, 4, 2, 5]);
    expect(read('sparse_linear.safetensors').header['weight']).toMatchObject({ shape: [2, 3] });
    const directory = await ModelDirectory.open(scratch);
    expect([...(await directory.weights('2_Dense')).map.keys()]).toEqual(['linear.weight']);
    expect(readdirSync(scratch)).not.toContain('training_args.safetensors');
  },
);

whenTorch('converts shards and their index', async () => {
  save(`
import json
torch.save({'a': torch.ones(2)}, d / 'pytorch_model-00001-of-00002.bin')
torch.save({'b': torch.ones(3)}, d / 'pytorch_model-00002-of-00002.bin')
names = {'a': 'pytorch_model-00001-of-00002.bin', 'b': 'pytorch_model-00002-of-00002.bin'}
(d / 'pytorch_model.bin.index.json').write_text(json.dumps({'metadata': {'total_size': 20}, 'weight_map': names}))`);
  expect(convert(scratch).status).toBe(0);
  const { map } = await (await ModelDirectory.open(scratch)).weights();
  expect([...map.keys()].sort()).toEqual(['a', 'b']);
});

whenTorch('runs no code, keeps what is there, and says what it cannot read', () => {
  save(`
import os, pickle
class Evil:
    def __reduce__(self): return (os.mkdir, (str(d / 'ran'),))
torch.save({'w': Evil()}, d / 'evil.bin')
torch.save([1, 2], d / 'list.pt')
torch.save({'w': torch.ones(2)}, d / 'good.pt')
(d / 'good.safetensors').write_text('mine')`);
  const result = convert(scratch);
  expect(result.status).toBe(1);
  expect(result.stderr).toMatch(/evil\.bin: cannot be read as weights alone/);
  expect(result.stderr).toMatch(/list\.pt: holds a list/);
  expect(result.stderr).toMatch(/good\.safetensors is there already/);
  expect(readFileSync(join(scratch, 'good.safetensors'), 'utf8')).toBe('mine');
  expect(readdirSync(scratch).sort()).toEqual(['evil.bin', 'good.pt', 'good.safetensors', 'list.pt']);
  expect(convert(join(scratch, 'good.pt'), '--overwrite').status).toBe(0);
  expect(statSync(join(scratch, 'good.safetensors')).size).toBeGreaterThan(8);
});
