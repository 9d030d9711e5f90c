import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { fromNative } from '../../ts/errors';
import {
  decodeSafetensors,
  encodeSafetensors,
  writeSafetensors,
  type SafetensorsDtype,
  type SafetensorsTensor,
} from '../../ts/io/safetensors';
import { addon } from '../../ts/native';
import { expectError } from '../support/errors';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();

async function openNative(path: string) {
  try {
    return await addon.openSafetensors(path);
  } catch (error) {
    throw fromNative(error);
  }
}

function writeRaw(name: string, bytes: Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

/** A file with any header, right or wrong. */
function rawFile(header: string | Uint8Array, data: Uint8Array = new Uint8Array(), claimed?: bigint): Buffer {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

const entry = (dtype: string, shape: unknown, offsets: unknown) => ({ dtype, shape, data_offsets: offsets });

const every: Record<string, SafetensorsTensor> = {
  'a.f32': { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, -2.5, 3, 4, 5, 6e30) },
  'b.i64': { dtype: 'I64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 60n) },
  'c.bf16': { dtype: 'BF16', shape: [3], data: Uint16Array.of(0x3f80, 0x4000, 0xc040) },
  'd.f16': { dtype: 'F16', shape: [1], data: Uint16Array.of(0x3c00) },
  'e.u8': { dtype: 'U8', shape: [5], data: Uint8Array.of(1, 2, 3, 4, 5) },
  'f.i8': { dtype: 'I8', shape: [1], data: Int8Array.of(-3) },
  'g.scalar': { dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) },
  'h.empty': { dtype: 'I32', shape: [0, 7], data: new Int32Array() },
  'é "quoted"\n😀': { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) },
};

describe('writer', () => {
  test('its own reader gives every tensor back', () => {
    const { tensors, metadata } = decodeSafetensors(encodeSafetensors(every, { format: 'pt', a: 'b' }));
    expect(metadata).toEqual({ a: 'b', format: 'pt' });
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(every).sort());
    for (const [name, { dtype, shape, data }] of Object.entries(every)) {
      expect(tensors[name]).toEqual({ dtype, shape, data });
    }
  });

  test('the native reader sees the same tensors', async () => {
    const file = await openNative(writeRaw('every.safetensors', encodeSafetensors(every, { format: 'pt' })));
    const seen = Object.fromEntries(file.tensors().map(({ name, dtype, shape }) => [name, { dtype, shape }]));
    expect(seen).toEqual(
      Object.fromEntries(Object.entries(every).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    );
    expect(file.metadata()).toEqual({ format: 'pt' });
    file.close();
    expect(() => file.tensors()).toThrow(expect.objectContaining({ code: 'E_DISPOSED' }));
  });

  test('data is aligned for its dtype, and the order of keys does not matter', () => {
    const reversed = Object.fromEntries(Object.entries(every).reverse());
    const bytes = encodeSafetensors(every);
    expect(encodeSafetensors(reversed).equals(bytes)).toBe(true);
    const headerLength = Number(bytes.readBigUInt64LE());
    expect((8 + headerLength) % 8).toBe(0);
    const sizes: Record<SafetensorsDtype, number> = {
      F64: 8,
      I64: 8,
      F32: 4,
      I32: 4,
      F16: 2,
      BF16: 2,
      I8: 1,
      U8: 1,
      BOOL: 1,
    };
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
      string,
      ReturnType<typeof entry>
    >;
    for (const { dtype, data_offsets: offsets } of Object.values(header)) {
      expect((offsets as number[])[0]! % sizes[dtype as SafetensorsDtype]).toBe(0);
    }
  });

  test('views into larger buffers are written, not the buffers', () => {
    const view = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    const { tensors } = decodeSafetensors(encodeSafetensors({ w: { dtype: 'F32', shape: [2], data: view } }));
    expect(tensors['w']!.data).toEqual(Float32Array.of(1, 2));
  });

  test('writing to a file leaves the same bytes and no temporary file', async () => {
    const folder = join(scratch, 'written');
    mkdirSync(folder);
    await writeSafetensors(join(folder, 'out.safetensors'), every, { format: 'pt' });
    expect(
      readFileSync(join(folder, 'out.safetensors')).equals(encodeSafetensors(every, { format: 'pt' })),
    ).toBe(true);
    expect(readdirSync(folder)).toEqual(['out.safetensors']);
    await expectError(() => writeSafetensors(join(folder, 'absent/out.safetensors'), every), {
      code: 'E_NOT_FOUND',
    });
  });

  test.each([
    ['too few bytes', { dtype: 'F32', shape: [2], data: new Float32Array(1) }, 'needs 8 bytes'],
    [
      'a negative dimension',
      { dtype: 'F32', shape: [-1], data: new Float32Array(0) },
      'non-negative integers',
    ],
    ['a fraction', { dtype: 'U8', shape: [1.5], data: new Uint8Array(1) }, 'non-negative integers'],
    [
      'an unknown dtype',
      { dtype: 'F31' as 'F32', shape: [1], data: new Float32Array(1) },
      'unknown dtype "F31"',
    ],
  ])('refuses %s', (_name, tensor, words) =>
    expectError(() => encodeSafetensors({ w: tensor as SafetensorsTensor }), {
      code: 'E_INVALID_ARGUMENT',
      field: 'w',
      words,
    }),
  );
});

describe('native reader refuses', () => {
  const four = new Uint8Array(4);
  const whole = entry('U8', [4], [0, 4]);
  const cases: [string, Uint8Array, string, string?][] = [
    ['an empty file', new Uint8Array(), 'truncated at 0 bytes'],
    ['a file shorter than the length', new Uint8Array(7), 'truncated at 7 bytes'],
    ['a header length beyond 100,000,000', rawFile('{}', four, 100_000_001n), 'the format allows 100000000'],
    ['a header length of 2^64 - 1', rawFile('{}', four, 2n ** 64n - 1n), 'the format allows'],
    ['a header length beyond the file', rawFile('{}', undefined, 3n), 'truncated at 10'],
    ['a header that does not start with {', rawFile(' {}'), "does not start with '{'"],
    ['JSON that is cut', rawFile('{"w":{"dtype":"F32"'), 'the header ends'],
    ['a trailing comma', rawFile('{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},}'), "expected '\"'"],
    ['bytes after the JSON', rawFile('{}x'), 'expected the end'],
    [
      'a duplicate tensor',
      rawFile(
        '{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        four,
      ),
      'duplicate key',
      'w',
    ],
    [
      'a hole before the first tensor',
      rawFile(JSON.stringify({ w: entry('U8', [3], [1, 4]) }), four),
      'holes',
      'w',
    ],
    [
      'a hole between tensors',
      rawFile(JSON.stringify({ a: entry('U8', [1], [0, 1]), b: entry('U8', [2], [2, 4]) }), four),
      'holes',
      'b',
    ],
    [
      'overlapping tensors',
      rawFile(JSON.stringify({ a: entry('U8', [3], [0, 3]), b: entry('U8', [2], [2, 4]) }), four),
      'overlap',
      'b',
    ],
    [
      'truncated data',
      rawFile(JSON.stringify({ w: entry('U8', [8], [0, 8]) }), four),
      'truncated or lies',
      'w',
    ],
    ['trailing garbage', rawFile(JSON.stringify({ w: entry('U8', [3], [0, 3]) }), four), 'garbage'],
    [
      'offsets that run backwards',
      rawFile(JSON.stringify({ w: entry('U8', [0], [4, 0]) }), four),
      'backwards',
      'w',
    ],
    [
      'a shape that disagrees with its bytes',
      rawFile(JSON.stringify({ w: entry('F32', [2], [0, 4]) }), four),
      'need 8 bytes',
      'w',
    ],
    [
      'a product beyond 63 bits',
      rawFile(JSON.stringify({ w: entry('U8', [2 ** 32, 2 ** 32], [0, 4]) }), four),
      'overflows',
      'w',
    ],
    [
      'an unknown dtype',
      rawFile(JSON.stringify({ w: entry('F31', [1], [0, 4]) }), four),
      'unknown dtype',
      'w',
    ],
    [
      'a negative dimension',
      rawFile('{"w":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}', four),
      'non-negative integer',
    ],
    ['a fraction', rawFile('{"w":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}', four), 'plain digits'],
    [
      'a number beyond 2^63',
      rawFile('{"w":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,4]}}', four),
      'exceeds 2^63 - 1',
    ],
    [
      'invalid UTF-8',
      rawFile(Buffer.concat([Buffer.from('{"'), Buffer.from([0xc0, 0x80]), Buffer.from('":1}')])),
      'invalid UTF-8',
    ],
    [
      'metadata that is not text',
      rawFile(JSON.stringify({ __metadata__: { a: 1 }, w: whole }), four),
      "expected '\"'",
    ],
    [
      'metadata that is no object',
      rawFile(JSON.stringify({ __metadata__: 'x', w: whole }), four),
      "expected '{'",
    ],
    ['a pickle', Buffer.from('gAJ9cQAoWAYAAAB3ZWlnaHRxAUsBdS4=', 'base64'), 'header claims'],
  ];
  test.each(cases)('%s', async (_name, bytes, words, field = 'case.safetensors') => {
    const path = writeRaw('case.safetensors', bytes);
    const error = await expectError(() => openNative(path), { code: 'E_BAD_WEIGHTS', field, words });
    expect(error.message).toContain(path);
  });

  test('a missing file', () =>
    expectError(() => openNative(join(scratch, 'absent')), { code: 'E_NOT_FOUND', field: 'absent' }));

  test('a directory', () =>
    expectError(() => openNative(scratch), { code: 'E_BAD_WEIGHTS', words: 'not a regular file' }));

  test('a device', () =>
    expectError(() => openNative('/dev/zero'), { code: 'E_BAD_WEIGHTS', words: 'not a regular file' }));

  test('a FIFO, without waiting for its writer', () => {
    const path = join(scratch, 'fifo.safetensors');
    execFileSync('mkfifo', [path]);
    return expectError(() => openNative(path), { code: 'E_BAD_WEIGHTS', words: 'not a regular file' });
  });

  test('a path that is not a string', () =>
    expectError(() => openNative(7 as unknown as string), { code: 'E_INVALID_ARGUMENT', field: 'path' }));
});

describe('native reader accepts', () => {
  test.each<[string, Uint8Array, { name: string; dtype: string; shape: number[] }[]]>([
    ['no tensors', rawFile('{}'), []],
    ['padding after the JSON', rawFile('{}  \n\t '), []],
    [
      'rank 0',
      rawFile(JSON.stringify({ s: entry('F32', [], [0, 4]) }), new Uint8Array(4)),
      [{ name: 's', dtype: 'F32', shape: [] }],
    ],
    [
      'zero elements',
      rawFile(JSON.stringify({ z: entry('F32', [0, 5], [0, 0]) })),
      [{ name: 'z', dtype: 'F32', shape: [0, 5] }],
    ],
    [
      'dtypes that are no weights',
      rawFile(JSON.stringify({ q: entry('F8_E4M3', [2], [0, 2]) }), new Uint8Array(2)),
      [{ name: 'q', dtype: 'F8_E4M3', shape: [2] }],
    ],
    [
      'sub-byte dtypes',
      rawFile(JSON.stringify({ q: entry('F4', [2, 2], [0, 2]) }), new Uint8Array(2)),
      [{ name: 'q', dtype: 'F4', shape: [2, 2] }],
    ],
    [
      'data that is not aligned',
      rawFile(`${JSON.stringify({ w: entry('F32', [1], [0, 4]) })} `.padEnd(67), new Uint8Array(4)),
      [{ name: 'w', dtype: 'F32', shape: [1] }],
    ],
  ])('%s', async (_name, bytes, tensors) => {
    const file = await openNative(writeRaw('legal.safetensors', bytes));
    expect(file.tensors()).toEqual(tensors);
    file.close();
    file.close();
  });
});

describe('small reader refuses', () => {
  test.each<[string, Uint8Array]>([
    ['too few bytes', new Uint8Array(3)],
    ['a header beyond the file', rawFile('{}', undefined, 1000n)],
    ['a header that is not JSON', rawFile('{"w"')],
    ['offsets beyond the file', rawFile(JSON.stringify({ w: entry('U8', [4], [0, 4]) }), new Uint8Array(3))],
    ['a shape that lies', rawFile(JSON.stringify({ w: entry('F32', [4], [0, 4]) }), new Uint8Array(4))],
    ['an entry without offsets', rawFile('{"w":{"dtype":"U8","shape":[0]}}')],
  ])('%s', (_name, bytes) => expectError(() => decodeSafetensors(bytes), { code: 'E_BAD_WEIGHTS' }));

  test('dtypes without an array type', () =>
    expectError(
      () => decodeSafetensors(rawFile(JSON.stringify({ w: entry('F4', [2], [0, 1]) }), new Uint8Array(1))),
      {
        code: 'E_UNSUPPORTED',
        field: 'w',
      },
    ));
});
