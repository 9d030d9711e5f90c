// Kernels of a cubin: an ELF file with a section of code a function and, in .nv.info, attributes of each.

const SECTION_HEADERS = 0x28; // where the file header says they are
const ATTRIBUTE = { maxThreads: 0x05, registers: 0x2f }; // EIATTR_MAX_THREADS, EIATTR_REGCOUNT
const SIZED = 4; // EIFMT_SVAL: a payload follows the header of an attribute
const SYMBOL_BYTES = 24;

const text = (bytes, at) => bytes.toString('latin1', at, bytes.indexOf(0, at));

/** {name, data, link} of each section. */
function sectionsOf(file) {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error('not an ELF file of 64 bits, little endian');
  const start = Number(file.readBigUInt64LE(SECTION_HEADERS));
  const [size, count, nameTable] = [0x3a, 0x3c, 0x3e].map((at) => file.readUInt16LE(at));
  const headers = Array.from({ length: count }, (_, i) => {
    const at = start + i * size;
    const [offset, bytes] = [0x18, 0x20].map((field) => Number(file.readBigUInt64LE(at + field)));
    const type = file.readUInt32LE(at + 4);
    // A section of zeros (SHT_NOBITS) has a size and no bytes.
    const data = type === 8 ? Buffer.alloc(0) : file.subarray(offset, offset + bytes);
    if (type !== 8 && data.length !== bytes) throw new Error(`section ${i} ends beyond the file`);
    return { name: file.readUInt32LE(at), data, link: file.readUInt32LE(at + 0x28) };
  });
  return headers.map((header) => ({ ...header, name: text(headers[nameTable].data, header.name) }));
}

/** [kind, payload] of each attribute that has a payload. */
function attributesOf(data) {
  const found = [];
  for (let at = 0; at + 4 <= data.length;) {
    const [format, kind, length] = [data[at], data[at + 1], data.readUInt16LE(at + 2)];
    at += 4;
    if (format !== SIZED) continue;
    found.push([kind, data.subarray(at, at + length)]);
    at += length;
  }
  return found;
}

/** The compute capability times ten; where it stands in the flags depends on the version of the ABI. */
function architectureOf(file) {
  const flags = file.readUInt32LE(0x30);
  return file[8] >= 8 ? (flags >> 8) & 0xff : flags & 0xff;
}

/**
 * {architecture, kernels}: of each kernel its mangled name, code, registers a thread and, where the source bounds them,
 * threads a block.
 */
export function readCubin(file) {
  const sections = sectionsOf(file);
  const named = new Map(sections.map((section) => [section.name, section]));
  const symbols = named.get('.symtab');
  const registers = new Map();
  for (const [kind, payload] of attributesOf(named.get('.nv.info')?.data ?? Buffer.alloc(0))) {
    if (kind !== ATTRIBUTE.registers) continue;
    const name = symbols.data.readUInt32LE(payload.readUInt32LE(0) * SYMBOL_BYTES);
    registers.set(text(sections[symbols.link].data, name), payload.readUInt32LE(4));
  }
  const kernels = sections
    .filter(({ name }) => name.startsWith('.text.'))
    .map(({ name: section, data: code }) => {
      const name = section.slice('.text.'.length);
      const attributes = attributesOf(named.get(`.nv.info.${name}`)?.data ?? Buffer.alloc(0));
      const bounds = attributes.find(([kind]) => kind === ATTRIBUTE.maxThreads)?.[1];
      const threads = bounds && [0, 4, 8].reduce((product, at) => product * bounds.readUInt32LE(at), 1);
      if (!registers.has(name)) throw new Error(`${name} has no count of registers`);
      return { name, code, registers: registers.get(name), threads };
    });
  return { architecture: architectureOf(file), kernels };
}
