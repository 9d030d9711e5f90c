// Cubins with code of a few instructions, laid out as ptxas does.

/** Instructions as they stand in code for sm_80 and sm_90a: bits 0 to 63, then 64 to 127. */
export const INSTRUCTIONS = {
  'LDG.E': [0x410127981n, 0xea2000c1e1900n],
  'LDG.E.128': [0x60c14a981n, 0xea2000c1e1d00n],
  'LDGSTS.E.BYPASS.128': [0x8000000a8a77faen, 0x3f2000b901c44n],
  'STG.E': [0x1124007986n, 0x3e4000c101904n],
  'STG.E.64': [0x2808007986n, 0x1e4000c101b06n],
  'STG.E.128': [0x1c12001986n, 0x43e2000c101d04n],
  LDL: [0xb097983n, 0xa20000100800n],
  'STL.128': [0x2001007387n, 0x45e40000100c00n],
  'HGMMA.64x128x16.F32.BF16': [0x41e0000898187df0n, 0xfe2000c7018ffn],
  'QGMMA.64x128x32.F32.E4M3.E4M3': [0x1e000000c1879f3n, 0xfe2000c7008ffn],
  'USETMAXREG.DEALLOC.CTAPOOL 0x28': [0x28000079c8n, 0xe0000080e0500n],
  'USETMAXREG.TRY_ALLOC.CTAPOOL UP0, 0xe8': [0xe8000079c8n, 0xe240008000600n],
} as const;

export interface Kernel {
  name: string;
  code: (keyof typeof INSTRUCTIONS)[];
  registers?: number;
  threads?: number;
}

const u16 = (...values: number[]) => Buffer.from(new Uint16Array(values).buffer);
const u32 = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer);
const u64 = (...values: (number | bigint)[]) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer);

/** Names one after the other, and where each begins. */
function strings(names: string[]) {
  const at = names.map((_, i) => 1 + names.slice(0, i).reduce((sum, name) => sum + name.length + 1, 0));
  return { data: Buffer.from(`\0${names.map((name) => `${name}\0`).join('')}`), at };
}

/** An attribute of .nv.info with a payload. */
const attribute = (kind: number, ...values: number[]) =>
  Buffer.concat([Buffer.from([4, kind]), u16(4 * values.length), u32(...values)]);

const flagsOf = (architecture: number, abi: number) =>
  abi >= 8 ? (architecture << 8) | 0x06000004 : (architecture << 16) | 0x0500 | architecture;

/** `abi`: 7 as CUDA 12 writes, 8 as CUDA 13 does. */
export function cubin(kernels: Kernel[], { architecture = 80, abi = 8 } = {}): Buffer {
  const names = strings(kernels.map(({ name }) => name));
  const symbols = kernels.map((_, i) => Buffer.concat([u32(names.at[i]!), Buffer.alloc(20)]));
  const counts = kernels.map(({ registers = 40 }, i) => attribute(0x2f, i + 1, registers));
  const sections = [
    { name: '.strtab', data: names.data, link: 0 },
    { name: '.symtab', data: Buffer.concat([Buffer.alloc(24), ...symbols]), link: 2 },
    // An attribute without a payload comes first.
    { name: '.nv.info', data: Buffer.concat([Buffer.from([1, 0x5f, 0, 0]), ...counts]), link: 3 },
    ...kernels.flatMap(({ name, code, threads }) => [
      { name: `.text.${name}`, data: u64(...code.flatMap((each) => INSTRUCTIONS[each])), link: 3 },
      {
        name: `.nv.info.${name}`,
        data: threads ? attribute(0x05, threads, 1, 1) : Buffer.alloc(0),
        link: 3,
      },
    ]),
  ];
  const titles = strings(['.shstrtab', ...sections.map(({ name }) => name)]);
  const all = [{ data: titles.data, link: 0 }, ...sections];
  const header = 64;
  const starts = all.map((_, i) => all.slice(0, i).reduce((sum, { data }) => sum + data.length, header));
  const table = starts.at(-1)! + all.at(-1)!.data.length;
  const entries = all.map(({ data, link }, i) =>
    Buffer.concat([u32(titles.at[i]!, 1), u64(0, 0, starts[i]!, data.length), u32(link, 0), u64(1, 0)]),
  );
  return Buffer.concat([
    Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0x41, abi, 0, 0, 0, 0, 0, 0, 0]),
    u16(2, 190),
    u32(1),
    u64(0, 0, table),
    u32(flagsOf(architecture, abi)),
    u16(header, 56, 0, 64, all.length + 1, 1),
    ...all.map(({ data }) => data),
    Buffer.alloc(64),
    ...entries,
  ]);
}
