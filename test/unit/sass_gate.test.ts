// scripts/sass-gate.mjs: what it accepts of kernels' machine code, what it refuses, and that a disassembler must agree.
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/child';
import { cubin, type Kernel } from '../support/cubin';
import { scratchDirectory, writeTree } from '../support/scratch';

const folder = scratchDirectory();
let made = 0;

/** The gate's exit code and lines over files of these kernels; by default without a disassembler. */
function gate(files: Record<string, Buffer | string>, cuobjdump = '/nowhere/cuobjdump') {
  const cubins = writeTree(join(folder, `${made++}`), files);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/sass-gate.mjs', cubins], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, CUOBJDUMP: cuobjdump },
  });
  expect(stderr).toBe('');
  return { status, lines: stdout.trimEnd().split('\n').slice(1) };
}

const mangled = (name: string, argument = 'f') => `_ZN7padless4cuda${name.length}${name}I${argument}EEvT_`;
const rope: Kernel = { name: mangled('rope_kernel'), code: ['LDG.E', 'LDG.E.128', 'STG.E.128'] };
const gemm: Kernel = { name: mangled('tensor_gemm_kernel'), code: ['LDGSTS.E.BYPASS.128', 'STG.E.128'] };
const counting: Kernel = { name: mangled('scan_kernel'), code: ['LDG.E', 'STG.E'] };
/** Gives back and takes registers: 40 for one warpgroup, 232 for each of two. */
const hopper: Kernel = {
  name: mangled('persistent_gemm_kernel'),
  code: [
    ...(['LDG.E.128', 'STG.E.128', 'HGMMA.64x128x16.F32.BF16'] as const),
    ...(['USETMAXREG.DEALLOC.CTAPOOL 0x28', 'USETMAXREG.TRY_ALLOC.CTAPOOL UP0, 0xe8'] as const),
  ],
  registers: 168,
  threads: 384,
};
const sm90 = { architecture: 90 };

test.each([7, 8])('kernels with what they need pass, in files of ABI %i', (abi) => {
  const files = {
    'cuda_heads_rope.sm_80.cubin': cubin([rope, counting], { abi }),
    'cuda_gemm_linear.sm_89.cubin': cubin([gemm], { architecture: 89, abi }),
    'cuda_gemm_sm90_gemm.sm_90a.cubin': cubin([hopper], { ...sm90, abi }),
  };
  expect(gate(files)).toEqual({ status: 0, lines: ['4 passed, 0 failed'] });
});

test.each<[string, string, Kernel, string]>([
  ['narrow stores', 'a', { ...rope, code: ['LDG.E.128', 'STG.E', 'STG.E.64'] }, 'no STG.128'],
  ['narrow loads', 'a', { ...rope, code: ['LDG.E', 'STG.E.128'] }, 'no LDG.128'],
  ['loads that pass by no shared memory', 'a', { ...gemm, code: rope.code }, 'no LDGSTS.128'],
  ['local loads', 'a', { ...counting, code: ['LDL'] }, 'local memory'],
  ['local stores', 'a', { ...counting, code: ['STL.128'] }, 'local memory'],
  ['no wgmma', '_sm90_', { ...hopper, code: hopper.code.filter((each) => !/^H/.test(each)) }, 'no HGMMA'],
  ['bf16 for e4m3', '_sm90_', { ...hopper, name: `${hopper.name}13__nv_fp8_e4m3` }, 'no QGMMA'],
  ['too many', 'a', { ...rope, registers: 129, threads: 512 }, '129 registers for 512 threads'],
  [
    'registers that never come',
    '_sm90_',
    { ...hopper, registers: 160 },
    'setmaxnreg 40 and 232 of 160 registers for 3 warpgroups',
  ],
])('%s are refused', (_, file, kernel, wrong) => {
  expect(gate({ [`${file}.cubin`]: cubin([kernel], sm90) })).toEqual({
    status: 1,
    lines: [`FAILED: ${file}: ${kernel.name}: ${wrong}`, '0 passed, 1 failed'],
  });
});

test('e4m3 kernels need QGMMA, and those that only quantise need neither', () => {
  const fp8 = { ...hopper, name: mangled('persistent_gemm_kernel', '13__nv_fp8_e4m3') };
  const codes: Kernel['code'] = [...rope.code, 'QGMMA.64x128x32.F32.E4M3.E4M3'];
  const quantize: Kernel = { name: mangled('quantize_rows_kernel'), code: ['LDG.E.128', 'STG.E.64'] };
  expect(gate({ 'a_sm90_b.cubin': cubin([{ ...fp8, code: codes }, quantize], sm90) }).status).toBe(0);
});

test('no kernel, other files and code for other GPUs are failures', () => {
  expect(gate({})).toEqual({ status: 1, lines: ['0 passed, 0 failed'] });
  expect(gate({ 'a.cubin': 'no ELF' }).lines[0]).toBe('FAILED: a: not an ELF file of 64 bits, little endian');
  expect(gate({ 'a.cubin': cubin([rope]).subarray(0, -64) }).status).toBe(1);
  expect(gate({ 'a.cubin': cubin([rope], { architecture: 100 }) }).lines[0]).toBe(
    'FAILED: a: code for sm_100 is not known here',
  );
});

test('a disassembler that reads something else is a failure', () => {
  const printing = (mnemonic: string, registers: number, threads: string) => {
    const code = `        Function : ${rope.name}
        /*0000*/                   LDG.E R18, [R4.64] ;       /* 0x410127981 */
        /*0010*/              @!P0 LDG.E.128 R20, [R4.64] ;   /* 0x60c14a981 */
        /*0020*/                   ${mnemonic} [R18.64], R28 ; /* 0x1c12001986 */`;
    const attributes = `.nv.info.${rope.name}
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	${threads} `;
    const script = `#!/bin/sh
case $1 in
-sass) cat <<'END'
${code}
END
;;
-res-usage) printf ' Function ${rope.name}:\\n  REG:${registers} STACK:0\\n' ;;
-elf) cat <<'END'
${attributes}
END
;;
esac
`;
    const program = join(writeTree(join(folder, `${made++}`), { cuobjdump: script }), 'cuobjdump');
    chmodSync(program, 0o755);
    return program;
  };
  const file = { 'a.cubin': cubin([{ ...rope, threads: 256 }]) };
  expect(gate(file, printing('STG.E.128', 40, '0x100 0x1 0x1'))).toEqual({
    status: 0,
    lines: ['1 passed, 0 failed'],
  });
  const ours = 'read as "LDG.128 LDG.32 STG.128; setmaxnreg 0 0; 40 registers, 256 threads"';
  const other = (theirs: string) => `FAILED: a: ${rope.name}: ${ours}, cuobjdump prints "${theirs}"`;
  expect(gate(file, printing('STG.E', 40, '0x100 0x1 0x1')).lines[0]).toBe(
    other('LDG.128 LDG.32 STG.32; setmaxnreg 0 0; 40 registers, 256 threads'),
  );
  expect(gate(file, printing('STG.E.128', 41, '0x80 0x2 0x2')).lines[0]).toBe(
    other('LDG.128 LDG.32 STG.128; setmaxnreg 0 0; 41 registers, 512 threads'),
  );
});
