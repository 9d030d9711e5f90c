// The few instructions of a kernel's machine code that scripts/sass-gate.mjs asks about.
//
// From compute capability 7.0 on an instruction is 16 bytes. The low 9 bits are the operation (those above them say
// how its operands are addressed); loads and stores have their width in bits 73 to 75. These encodings are undocumented:
// where there is a cuobjdump, the gate compares what is read here with what it prints.

export const OPERATIONS = new Map([
  [0x181, 'LDG'],
  [0x183, 'LDL'],
  [0x186, 'STG'],
  [0x187, 'STL'],
  [0x1ae, 'LDGSTS'],
  [0x1c8, 'USETMAXREG'],
  [0x1f0, 'HGMMA'],
  [0x1f3, 'QGMMA'],
]);
const WIDTHS = [8, 8, 16, 16, 32, 64, 128];
const GLOBAL = ['LDG', 'STG', 'LDGSTS'];

/** What is collected of a kernel: names of instructions, and the registers that setmaxnreg gives back and takes. */
export class Findings {
  instructions = new Set();
  given = 0;
  taken = 0;

  add(operation, width) {
    this.instructions.add(GLOBAL.includes(operation) ? `${operation}.${width}` : operation);
  }

  move(gives, registers) {
    if (gives) this.given = registers;
    else this.taken = Math.max(this.taken, registers);
  }
}

/** Findings of machine code. */
export function decode(code) {
  const findings = new Findings();
  for (let at = 0; at + 16 <= code.length; at += 16) {
    const operation = OPERATIONS.get(code.readUInt32LE(at) & 0x1ff);
    if (operation === undefined) continue;
    const third = code.readUInt32LE(at + 8);
    // DEALLOC and TRY_ALLOC; the count stands in bits 32 and up.
    if (operation === 'USETMAXREG') findings.move((third & 0x100) !== 0, code.readUInt32LE(at + 4) & 0xffff);
    else findings.add(operation, WIDTHS[(third >> 9) & 7]);
  }
  return findings;
}
