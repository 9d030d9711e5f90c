// What NVIDIA's cuobjdump says of the kernels of a cubin: the same findings as those of sass.mjs, from text.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Findings, OPERATIONS } from './sass.mjs';

const KNOWN = new Set(OPERATIONS.values());

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The program that CUOBJDUMP names, or that of the PATH or of CUDA_HOME; undefined if there is none. */
export function findDisassembler() {
  const home = join(process.env.CUDA_HOME ?? '/usr/local/cuda', 'bin');
  const folders = [...(process.env.PATH ?? '').split(delimiter), home];
  const named = process.env.CUOBJDUMP;
  return (named ? [named] : folders.map((folder) => join(folder, 'cuobjdump'))).find(isExecutable);
}

function print(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`${command} ${args[0]}: ${error?.message ?? stderr.trim()}`);
  return stdout + stderr;
}

/** The width in a mnemonic: 32 bits unless it says another. */
const widthOf = (mnemonic) => Number(/\.[US]?(8|16|64|128)\b/.exec(mnemonic)?.[1] ?? 32);

/** Findings of each function in what `cuobjdump -sass` prints, by name. */
function parseCode(printed) {
  const functions = new Map();
  let findings;
  for (const line of printed.split('\n')) {
    const name = /^\s*Function : (\S+)/.exec(line)?.[1];
    if (name) functions.set(name, (findings = new Findings()));
    const [, mnemonic, operation, operands] =
      /^\s*\/\*[0-9a-f]{4,}\*\/\s+(?:@\S+\s+)?(([A-Z]+)[.\w]*)([^;]*);/.exec(line) ?? [];
    if (!KNOWN.has(operation)) continue;
    if (operation === 'USETMAXREG')
      findings.move(mnemonic.includes('DEALLOC'), Number(/0x[0-9a-f]+/.exec(operands)[0]));
    else findings.add(operation, widthOf(mnemonic));
  }
  return functions;
}

/** Findings, registers and threads of each function of a file, by name. */
export function disassembly(command, file) {
  const functions = parseCode(print(command, '-sass', file));
  for (const [, name, count] of print(command, '-res-usage', file).matchAll(/Function (\S+):\s+REG:(\d+)/g))
    if (functions.has(name)) functions.get(name).registers = Number(count);
  const threads = /\.nv\.info\.(\S+)|EIATTR_MAX_THREADS\s+Format:.*\s+Value:\s+(0x\w+) (0x\w+) (0x\w+)/g;
  let name;
  for (const [, section, ...counts] of print(command, '-elf', file).matchAll(threads)) {
    if (section !== undefined) name = section;
    else if (functions.has(name))
      functions.get(name).threads = counts.reduce((product, count) => product * Number(count), 1);
  }
  return functions;
}
