// Mutated safetensors files fed to the native reader in this process: it never crashes, and every file is either
// read or refused with a code. PADLESS_SEED repeats a run.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { fromNative, PadlessError } from '../../ts/errors';
import { encodeSafetensors, type SafetensorsTensor } from '../../ts/io/safetensors';
import { addon } from '../../ts/native';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();
const seed = Number(process.env['PADLESS_SEED'] ?? Date.now() % 2 ** 32);

/** mulberry32: uniform 32-bit integers. */
function generator(state: number): (below: number) => number {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const random = generator(seed);
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

function validFile(): Buffer {
  const tensors: Record<string, SafetensorsTensor> = {};
  for (let i = random(6); i > 0; i--) {
    const [rows, cols] = [random(4), random(5)];
    const data = pick([
      new Float32Array(rows * cols),
      new Uint16Array(rows * cols),
      new Uint8Array(rows * cols),
    ]);
    const dtype = ({ 4: 'F32', 2: 'BF16', 1: 'U8' } as const)[data.BYTES_PER_ELEMENT as 4 | 2 | 1];
    tensors[`layer.${i}.weight`] = { dtype, shape: [rows, cols], data };
  }
  return encodeSafetensors(tensors, random(2) ? { format: 'pt', kéy: 'v\n' } : undefined);
}

const NUMBERS = [
  '-1',
  '00',
  '1e9',
  '1.5',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551616',
  'NaN',
];
const SPLICES = [
  ...NUMBERS,
  ...'[]{}",:\\',
  '\\ud800',
  '\\u0000',
  'null',
  '"dtype":"F32",',
  '"shape":[],',
  '"data_offsets":[0,0],',
  '"__metadata__":{},',
  '[['.repeat(200),
].map((text) => Buffer.from(text));
const RAW = [
  Buffer.of(0),
  Buffer.of(0xff),
  Buffer.of(0xc0, 0x80),
  Buffer.of(0xed, 0xa0, 0x80),
  Buffer.of(0xf5),
];

const spliced = (file: Buffer, at: number, remove: number, insert: Uint8Array): Buffer =>
  Buffer.concat([file.subarray(0, at), insert, file.subarray(at + remove)]);

function withLength(file: Buffer, length: bigint): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt.asUintN(64, length));
  return spliced(file, 0, 8, prefix);
}

/** One of the header's numbers, replaced. */
function spliceNumber(file: Buffer): Buffer {
  const text = file.toString('latin1');
  const numbers = [...text.matchAll(/(?<=[[,])\d+(?=[\],])/g)];
  if (numbers.length === 0) return file;
  const { 0: digits, index } = pick(numbers);
  return spliced(file, index, digits.length, Buffer.from(pick([...NUMBERS, String(random(200))])));
}

/** One entry of the header, twice. */
function duplicateKey(file: Buffer): Buffer {
  const entries = [...file.toString('latin1').matchAll(/"[\w.]+":\{[^{}]*\},?/g)];
  if (entries.length === 0) return file;
  const { 0: text, index } = pick(entries);
  return spliced(file, index, 0, Buffer.from(text.endsWith(',') ? text : `${text},`, 'latin1'));
}

const MUTATIONS: readonly ((file: Buffer) => Buffer)[] = [
  (file) => {
    const flipped = Buffer.from(file);
    const at = random(Math.max(1, file.length));
    flipped[at]! ^= 1 << random(8);
    return flipped;
  },
  (file) => file.subarray(0, random(file.length + 1)),
  (file) => withLength(file, BigInt(pick([random(600), 2 ** 31, 2 ** 32, 100_000_000, 100_000_001, -1, -9]))),
  spliceNumber,
  duplicateKey,
  (file) => spliced(file, random(file.length + 1), 0, pick([...SPLICES, ...RAW])),
  (file) => spliced(file, random(file.length + 1), random(16), Buffer.alloc(0)),
  (file) => Buffer.concat([file, Buffer.alloc(random(9))]),
  (file) => spliced(file, random(file.length + 1), 0, file.subarray(random(file.length + 1)).subarray(0, 64)),
];

/** Makes the length fit the JSON again, so that the mutation reaches the parser. */
function repaired(file: Buffer): Buffer {
  const brace = file.lastIndexOf('}');
  return brace > 8 ? withLength(file, BigInt(brace - 7)) : file;
}

async function open(path: string): Promise<'read' | PadlessError> {
  try {
    const file = await addon.openSafetensors(path);
    const names = file.tensors().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    file.metadata();
    file.close();
    return 'read';
  } catch (error) {
    const coded = fromNative(error);
    if (!(coded instanceof PadlessError)) throw error;
    return coded;
  }
}

test(`2,500 mutated files (seed ${seed})`, async () => {
  const path = join(scratch, 'fuzz.safetensors');
  let read = 0;
  for (let round = 0; round < 2500; round++) {
    let bytes = validFile();
    for (let i = random(4); i > 0; i--) bytes = pick(MUTATIONS)(bytes);
    if (random(2)) bytes = repaired(bytes);
    writeFileSync(path, bytes);
    const outcome = await open(path);
    if (outcome === 'read') read++;
    else
      expect({ seed, round, code: outcome.code, named: Boolean(outcome.field) }).toEqual({
        seed,
        round,
        code: 'E_BAD_WEIGHTS',
        named: true,
      });
  }
  // Both outcomes occur, so the mutations are neither harmless nor all fatal at the first check.
  expect({ seed, some: read > 250 && read < 2250 }).toEqual({ seed, some: true });
});
