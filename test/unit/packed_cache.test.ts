// Packed weights kept in files: the same bits, and never a wrong answer from a file that is not what it should be.
import {
  copyFileSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();
const { checkpoint } = readGolden('bert');
const batch = PackedBatch.fromSequences([
  [5, 6, 7, 8, 9],
  [10, 11],
]);
let directories = 0;

const freshDirectory = () => join(scratch, `cache-${directories++}`);

async function hidden(
  options: Parameters<typeof Encoder.load>[1],
  model = checkpoint,
): Promise<Float32Array> {
  using encoder = await Encoder.load(model, options);
  const { lastHiddenState } = await encoder.run(batch, { outputs: ['lastHiddenState'] });
  return lastHiddenState!;
}

function onlyFile(cacheDir: string): string {
  const files = readdirSync(cacheDir);
  expect(files).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.packed$/)]);
  return join(cacheDir, files[0]!);
}

const cpus = testDevices().filter(({ label }) => label.startsWith('cpu'));

describe.each(cpus)('on $label', ({ request: device }) => {
  test.each(['f32', 'bf16', 'int8'] as const)('%s: a second load gives the same bits', async (dtype) => {
    const cacheDir = freshDirectory();
    const expected = await hidden({ device, dtype });
    expect(await hidden({ device, dtype, cacheDir })).toEqual(expected);
    const file = onlyFile(cacheDir);
    const written = readFileSync(file);
    expect(await hidden({ device, dtype, cacheDir })).toEqual(expected);
    expect(onlyFile(cacheDir)).toBe(file);
    expect(readFileSync(file).equals(written)).toBe(true);
  });
});

test('a damaged file is written anew, wherever the damage is', async () => {
  const cacheDir = freshDirectory();
  const expected = await hidden({ cacheDir });
  const file = onlyFile(cacheDir);
  const whole = readFileSync(file);
  const damages: [string, Buffer][] = [0, 20, 30, 40, 64, whole.length >> 1, whole.length - 3].map((at) => {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    return [`byte ${at}`, damaged];
  });
  damages.push(['cut', whole.subarray(0, whole.length - 100)], ['empty', Buffer.alloc(0)]);
  damages.push(['longer', Buffer.concat([whole, Buffer.alloc(64)])], ['text', Buffer.from('not weights')]);
  for (const [name, damaged] of damages) {
    writeFileSync(file, damaged);
    expect([name, await hidden({ cacheDir })]).toEqual([name, expected]);
    expect([name, readFileSync(file).equals(whole)]).toEqual([name, true]);
  }
});

test('a file of another precision or model is not taken', async () => {
  const [floats, codes] = [freshDirectory(), freshDirectory()];
  await hidden({ cacheDir: floats });
  const expected = await hidden({ dtype: 'int8', cacheDir: codes });
  copyFileSync(onlyFile(floats), onlyFile(codes));
  expect(await hidden({ dtype: 'int8', cacheDir: codes })).toEqual(expected);
});

test('a model whose weights changed in place, size and time kept, is packed again', async () => {
  const [model, cacheDir] = [join(scratch, 'changed'), freshDirectory()];
  cpSync(checkpoint, model, { recursive: true });
  const file = join(model, 'model.safetensors');
  const time = new Date(1_700_000_000_000);
  utimesSync(file, time, time);
  const before = await hidden({ cacheDir }, model);
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  for (let at = begin; at + 4 <= bytes.length; at += 4) bytes.writeFloatLE(bytes.readFloatLE(at) * 0.5, at);
  writeFileSync(file, bytes);
  utimesSync(file, time, time);
  const after = await hidden({ cacheDir }, model);
  expect(after).toEqual(await hidden({}, model));
  expect(after).not.toEqual(before);
  // What was kept of the weights before is gone.
  onlyFile(cacheDir);
});

test('what a dead writer left is deleted, what another may be writing is not', async () => {
  const cacheDir = freshDirectory();
  await hidden({ cacheDir });
  const file = onlyFile(cacheDir);
  const longAgo = new Date(Date.now() - 2 * 3_600_000);
  const part = (name: string, time?: Date) => {
    writeFileSync(name, '');
    if (time) utimesSync(name, time, time);
  };
  part(`${file}.1.0.partial`, longAgo);
  part(`${file}.2.0.partial`);
  part(join(cacheDir, 'mine.partial'), longAgo);
  await hidden({ cacheDir });
  expect(readdirSync(cacheDir).map((name) => join(cacheDir, name))).toEqual(
    [file, `${file}.2.0.partial`, join(cacheDir, 'mine.partial')].sort(),
  );
});

test('loads at the same time give the same bits and leave one whole file', async () => {
  const cacheDir = freshDirectory();
  const expected = await hidden({ dtype: 'int8' });
  // Threads set them apart, so that each packs and writes.
  const loads = [1, 2, 3, 4].map((threads) => hidden({ dtype: 'int8', threads, cacheDir }));
  for (const result of await Promise.all(loads)) expect(result).toEqual(expected);
  onlyFile(cacheDir);
  expect(await hidden({ dtype: 'int8', cacheDir })).toEqual(expected);
});

test('what a killed process of the same id has left does not keep the file from being written', async () => {
  const cacheDir = freshDirectory();
  await hidden({ cacheDir });
  const file = onlyFile(cacheDir);
  rmSync(file);
  for (let i = 0; i < 500; i++) writeFileSync(`${file}.${process.pid}.${i}.partial`, '');
  await hidden({ cacheDir });
  expect(existsSync(file)).toBe(true);
  expect(readdirSync(cacheDir)).toHaveLength(501);
});

test('where no file can be written, the load succeeds with a warning', async () => {
  const occupied = join(scratch, 'a-file');
  writeFileSync(occupied, '');
  const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const expected = await hidden({});
  expect(await hidden({ cacheDir: join(occupied, 'below') })).toEqual(expected);
  expect(emitWarning.mock.calls).toEqual([
    [expect.stringContaining('could not be written'), { type: 'PadlessWarning', code: 'PADLESS_CACHE_DIR' }],
  ]);
  emitWarning.mockRestore();
  expect(existsSync(join(occupied, 'below'))).toBe(false);
});

test('cacheDir must be a path', () =>
  expectError(() => Encoder.load(checkpoint, { cacheDir: '' }), {
    code: 'E_INVALID_ARGUMENT',
    field: 'cacheDir',
  }));
