// The command line as a person or a script uses it: contracts, exit codes, Ctrl-C.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';

import { multiplyProbe, pickRows, readGolden, relativeError } from '../support/goldens';
import { MAIN as main, padless as runPadless } from '../support/command_line';
import { makeChain } from '../support/chains';
import { temporaryFolder } from '../support/folders';
import { testIf } from '../support/skips';

const root = join(__dirname, '../..');
const { checkpoint } = readGolden('bert');

const padless = (...args: string[]) => runPadless(args);

/** Tensors of a safetensors file, read by the format's definition. */
function readTensors(path: string): Record<string, { dtype: string; shape: number[]; bytes: ArrayBuffer }> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return Object.fromEntries(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [begin, end],
          },
        ]) => [
          name,
          { dtype, shape, bytes: new Uint8Array(file.subarray(8 + length + begin, 8 + length + end)).buffer },
        ],
      ),
  );
}

describe('padless run', () => {
  test.each(['bert', 'roberta', 'bert-sharded'])('%s: the contract and the numbers', (name) => {
    using folder = temporaryFolder();
    const golden = readGolden(name);
    const order = golden.batches['mixed']!;
    const sequences = order.map((index) => golden.sequences[index]!);
    const input = join(folder.path, 'ids.json');
    const output = join(folder.path, 'out.safetensors');
    const types = sequences.some(({ tokenTypes }) => tokenTypes);
    writeFileSync(
      input,
      JSON.stringify({
        sequences: sequences.map(({ ids }) => ids),
        ...(types && { tokenTypes: sequences.map(({ tokenTypes }) => tokenTypes) }),
      }),
    );
    const result = padless('run', '--model', golden.checkpoint, '--input', input, '--output', output);
    expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });

    const tensors = readTensors(output);
    expect(Object.keys(tensors).sort()).toEqual(['cu_seqlens', ...golden.outputs].sort());
    const cuSeqlens = new Int32Array(tensors['cu_seqlens']!.bytes);
    const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(tensors['cu_seqlens']).toMatchObject({ dtype: 'I32', shape: [order.length + 1] });
    expect(cuSeqlens.at(-1)).toBe(tokens);
    const { dtype, shape, bytes } = tensors['last_hidden_state']!;
    const width = shape[1]!;
    expect([dtype, shape[0]]).toEqual(['F32', tokens]);
    const hidden = new Float32Array(bytes);
    const probe = golden.expected.get('probe.last_hidden_state')!.data;
    order.forEach((index, i) => {
      const rows = hidden.subarray(cuSeqlens[i]! * width, cuSeqlens[i + 1]! * width);
      const expected = (what: string) => golden.expected.get(`${index}.${what}`)!.data;
      const picked = pickRows(rows, width, golden.sequences[index]!.rows);
      expect(relativeError(picked, expected('last_hidden_state'))).toBeLessThan(1e-5);
      expect(
        relativeError(multiplyProbe(rows, width, probe), expected('last_hidden_state.probed')),
      ).toBeLessThan(1e-5);
    });
  });

  test.each<[string, string, string]>([
    ['an id outside the vocabulary', '{"sequences": [[1, 99999]]}', 'E_INVALID_ARGUMENT'],
    ['a negative id', '{"sequences": [[-1]]}', 'E_INVALID_ARGUMENT'],
    ['a fraction', '{"sequences": [[1.5]]}', 'E_INVALID_ARGUMENT'],
    ['no sequences', '{"sequence": [[1]]}', 'E_INVALID_ARGUMENT'],
    ['no JSON', '{', 'E_INVALID_ARGUMENT'],
    ['token types of another length', '{"sequences": [[1, 2]], "tokenTypes": [[0]]}', 'E_INVALID_ARGUMENT'],
    ['a sequence beyond the positions', JSON.stringify({ sequences: [Array(513).fill(5)] }), 'E_TOO_LONG'],
  ])('%s', (_, json, code) => {
    using folder = temporaryFolder();
    const input = join(folder.path, 'ids.json');
    writeFileSync(input, json);
    const { status, stderr } = padless(
      'run',
      '--model',
      checkpoint,
      '--input',
      input,
      '--output',
      join(folder.path, 'o'),
    );
    expect(stderr).toMatch(new RegExp(`^error ${code}: .+\\n$`));
    expect(status).toBe(code === 'E_INVALID_ARGUMENT' ? 2 : 1);
  });

  const whenFull = testIf(existsSync('/dev/full'), 'output that cannot be written; there is no /dev/full');

  whenFull('output that cannot be written', () => {
    using folder = temporaryFolder();
    makeChain('pool-mean', folder.path);
    const stdout = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [main, 'embed', '-m', folder.path, 'a text'], {
      encoding: 'utf8',
      stdio: ['ignore', stdout, 'pipe'],
    });
    closeSync(stdout);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^error E_NOT_WRITABLE: standard output .*the disk is full.*ENOSPC.*\n$/),
    ]);
  });

  /** `padless run` of two tokens to OUTPUT, through a shell that may set limits first. */
  function runTo(output: string, input: string, before = ':') {
    writeFileSync(input, '{"sequences": [[1, 2]]}');
    return spawnSync(
      'bash',
      [
        '-c',
        `${before}; exec "$@"`,
        'bash',
        process.execPath,
        main,
        'run',
        '-m',
        checkpoint,
        '-i',
        input,
        '-o',
        output,
      ],
      { encoding: 'utf8' },
    );
  }

  test.each<[string, string, string]>([
    ['a directory', 'taken', 'is a directory or a device'],
    ['a file in the place of a directory', 'ids.json/out', 'a part of its path is a file'],
    ['a directory that is not there', 'absent/out', 'there is no directory'],
    ['a device', '/dev/full', 'is a directory or a device'],
  ])('output to %s', (_, name, why) => {
    using folder = temporaryFolder();
    mkdirSync(join(folder.path, 'taken'));
    const output = resolve(folder.path, name);
    const { status, stderr } = runTo(output, join(folder.path, 'ids.json'));
    const code = name.startsWith('absent') ? 'E_NOT_FOUND' : 'E_NOT_WRITABLE';
    expect([status, stderr]).toEqual([1, expect.stringMatching(new RegExp(`^error ${code}: .+\\n$`))]);
    expect(stderr).toContain(`${output} `);
    expect(stderr).toContain(why);
    expect(readdirSync(folder.path).sort()).toEqual(['ids.json', 'taken']);
  });

  test('output that does not fit keeps what was there, and leaves nothing else', () => {
    using folder = temporaryFolder();
    const output = join(folder.path, 'out');
    writeFileSync(output, 'earlier');
    const { status, stderr } = runTo(output, join(folder.path, 'ids.json'), 'ulimit -f 0');
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^error E_NOT_WRITABLE: .*EFBIG.*\n$/)]);
    expect(readFileSync(output, 'utf8')).toBe('earlier');
    expect(readdirSync(folder.path).sort()).toEqual(['ids.json', 'out']);
  });

  test('a missing input file, a missing model', () => {
    const missing = padless(
      'run',
      '--model',
      checkpoint,
      '--input',
      '/nowhere.json',
      '--output',
      '/tmp/never',
    );
    expect([missing.status, missing.stderr]).toEqual([1, expect.stringMatching(/^error E_NOT_FOUND: /)]);
    const model = padless('embed', '--model', '/nowhere', 'text');
    expect([model.status, model.stderr]).toEqual([1, expect.stringMatching(/^error E_NOT_FOUND: /)]);
  });
});

describe('the other commands', () => {
  test('embed --json gives the vectors', () => {
    using folder = temporaryFolder();
    makeChain('pool-mean', folder.path);
    const { status, stdout } = padless('embed', '--model', folder.path, '--json', 'one', 'two words');
    expect(status).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(JSON.stringify(lines).length).toBeGreaterThan(1000);
  });

  test('inspect names the devices, and a model’s spec', () => {
    const plain = padless('inspect');
    expect([plain.status, plain.stdout]).toEqual([0, expect.stringContaining('cpu')]);
    const { status, stdout } = padless('inspect', checkpoint, '--json');
    expect(status).toBe(0);
    expect(stdout).toContain('"hiddenSize": 96');
  });

  test('inspect reports what bf16 and int8 cost on texts', () => {
    const texts = ['bread', 'The bread is baked in the morning, before the market opens.'];
    const { status, stdout } = padless('inspect', checkpoint, '--json', '--quantization', ...texts);
    expect(status).toBe(0);
    const { quantization } = JSON.parse(stdout) as {
      quantization: { dtype: string; relativeError: number; leastCosine: number }[];
    };
    // A machine with a Hopper GPU reports fp8, too.
    expect(quantization.slice(0, 2).map(({ dtype }) => dtype)).toEqual(['bf16', 'int8']);
    for (const { relativeError: error, leastCosine } of quantization.slice(0, 2)) {
      expect(error).toBeGreaterThan(1e-4);
      expect(error).toBeLessThan(0.05);
      expect(leastCosine).toBeGreaterThan(0.995);
      expect(leastCosine).toBeLessThanOrEqual(1);
    }
    expect(padless('inspect', '--quantization', 'bread').stderr).toContain('E_INVALID_ARGUMENT');
    expect(padless('inspect', checkpoint, '--quantization', ...texts).stdout).toMatch(/^int8 .*text [12]/m);
  });

  test('wrong usage exits with 2, --version with the package’s', () => {
    expect(padless('embd').status).toBe(2);
    expect(padless('run', '--model', checkpoint).status).toBe(2);
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(padless('--version').stdout.trim()).toBe(version);
  });

  test('bench compares padded with packed', () => {
    const { status, stdout, stderr } = padless('bench', '--model', checkpoint);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('packed');
  });

  test('Ctrl-C ends a long run with 130, without a stack trace', async () => {
    using folder = temporaryFolder();
    const input = join(folder.path, 'ids.json');
    writeFileSync(
      input,
      JSON.stringify({ sequences: Array.from({ length: 4000 }, () => Array(500).fill(7)) }),
    );
    // Says when the command has begun to listen: a slow machine may take seconds until then.
    const announce = `process.on('newListener', (name) => name === 'SIGINT' && console.log('listening'));`;
    const child = spawn(process.execPath, [
      '--import',
      `data:text/javascript,${announce}`,
      main,
      'run',
      '--model',
      checkpoint,
      '--input',
      input,
      '--output',
      join(folder.path, 'o'),
    ]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdout.once('data', () => setTimeout(() => child.kill('SIGINT'), 500));
    const code = await new Promise((resolve) =>
      child.on('exit', (status, signal) => resolve(status ?? signal)),
    );
    expect(code).toBe(130);
    expect(stderr).not.toContain(' at ');
  });
});
