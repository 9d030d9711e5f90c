#!/usr/bin/env node
// Fails unless every kernel in DIR/*.cubin that moves rows does so by 16-byte accesses, none uses local memory, and
// those of sm90 folders multiply with wgmma within the registers that they have.
//   node scripts/sass-gate.mjs DIR      CUOBJDUMP names the disassembler; otherwise the PATH and CUDA_HOME are searched
// Where there is a cuobjdump, it must agree with what is read here. The last line is "N passed, N failed".
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readCubin } from './cubin.mjs';
import { disassembly, findDisassembler } from './cuobjdump.mjs';
import { decode } from './sass.mjs';

// What each instantiation of a kernel must contain. Kernels that count or scan have no rows to move. In sm90 folders
// every kernel but quantize_rows_kernel multiplies as well: by QGMMA if it has e4m3 in its name, by HGMMA otherwise.
const ROWS = ['LDG.128', 'STG.128'];
const STAGED = ['LDGSTS.128', 'STG.128'];
const RULES = {
  residual_norm_kernel: ROWS,
  embed_norm_kernel: ROWS,
  l2_normalize_kernel: ROWS,
  head_norm_kernel: ROWS,
  rope_kernel: ROWS,
  gather_rows_kernel: ROWS,
  quantize_rows_kernel: ['LDG.128', 'STG.64'],
  pool_rows_kernel: ['LDG.128'],
  tensor_gemm_kernel: STAGED,
  attention_kernel: STAGED,
  disentangled_kernel: STAGED,
  persistent_gemm_kernel: ROWS,
  norm_gemm_kernel: ROWS,
  swapped_gemm_kernel: ROWS,
};
const REGISTERS_OF_AN_SM = 65_536;

// In mangled names a length precedes an identifier; template arguments or the end of the scope follow it.
const isKernel = (mangled, kernel) => new RegExp(`[0-9]${kernel}[IE]`).test(mangled);

function required(name, hopper) {
  const needs = Object.entries(RULES).flatMap(([kernel, rule]) => (isKernel(name, kernel) ? rule : []));
  if (hopper && !name.includes('quantize_rows_kernel'))
    needs.push(name.includes('fp8_e4m3') ? 'QGMMA' : 'HGMMA');
  return needs;
}

/**
 * Registers are handed out in eights. setmaxnreg moves them between the warpgroups of a block: more than the block was
 * launched with never come, and the warps wait for ever. One warpgroup, the producer, gives back.
 */
function budget({ registers, threads = 0 }, { given, taken }) {
  const each = Math.ceil(registers / 8) * 8;
  if (each * threads > REGISTERS_OF_AN_SM) return [`${registers} registers for ${threads} threads`];
  const groups = threads / 128;
  if (taken > 0 && given + (groups - 1) * taken > groups * each)
    return [`setmaxnreg ${given} and ${taken} of ${each} registers for ${groups} warpgroups`];
  return [];
}

/** What is wrong with a kernel: none, or sentences. */
function faults(kernel, findings, hopper) {
  const missing = required(kernel.name, hopper).filter((need) => !findings.instructions.has(need));
  const local = ['LDL', 'STL'].some((each) => findings.instructions.has(each)) ? ['local memory'] : [];
  return [...missing.map((need) => `no ${need}`), ...local, ...budget(kernel, findings)];
}

/** One line for all that two readers of a kernel must agree about. */
const summary = ({ instructions, given, taken, registers, threads }) =>
  `${[...instructions].sort().join(' ')}; setmaxnreg ${given} ${taken}; ${registers} registers, ${threads} threads`;

/** [name, what is wrong with it] of each kernel of a file. */
function check(file, disassembler) {
  const { architecture, kernels } = readCubin(readFileSync(file));
  if (architecture < 80 || architecture > 90)
    throw new Error(`code for sm_${architecture} is not known here`);
  const printed = disassembler && disassembly(disassembler, file);
  return kernels.map((kernel) => {
    const findings = decode(kernel.code);
    const wrong = faults(kernel, findings, basename(file).includes('_sm90_'));
    if (printed) {
      const [ours, theirs] = [{ ...findings, ...kernel }, printed.get(kernel.name)].map(
        (each) => each && summary(each),
      );
      if (ours !== theirs) wrong.push(`read as "${ours}", cuobjdump prints "${theirs}"`);
    }
    return [kernel.name, wrong];
  });
}

function main(folder) {
  const disassembler = findDisassembler();
  console.log(disassembler ? `compared with ${disassembler}` : 'no cuobjdump to compare with');
  let [passed, failed] = [0, 0];
  const fail = (...what) => {
    failed++;
    console.log(`FAILED: ${what.join(': ')}`);
  };
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.cubin'))) {
    const label = basename(name, '.cubin');
    try {
      for (const [kernel, wrong] of check(join(folder, name), disassembler)) {
        if (wrong.length === 0) passed++;
        else fail(label, kernel, wrong.join(', '));
      }
    } catch (error) {
      fail(label, error.message);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (process.argv.length !== 3) {
  console.error('sass-gate: name the folder of the cubins');
  process.exitCode = 2;
} else process.exitCode = main(process.argv[2]);
