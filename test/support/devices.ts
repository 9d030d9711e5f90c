// The devices this machine can test on: every suite in test/device runs once on each.
import { device, devices, type DeviceOptions } from '../../ts/device';
import { PadlessError } from '../../ts/errors';
import type { Compute } from '../../ts/weight';

export interface TestDevice {
  label: string;
  request: DeviceOptions & { name: string };
  /** What the products can compute in besides f32. */
  reducedPrecisions: readonly Compute[];
}

const isas = ['amx', 'avx512', 'avx2', 'neon', 'portable'] as const;

/** Whether the processor has the instruction set. */
function opens(request: DeviceOptions): boolean {
  try {
    device(request);
    return true;
  } catch (error) {
    if (error instanceof PadlessError && error.code === 'E_UNSUPPORTED') return false;
    throw error;
  }
}

/** The CPU with the same bits in every batch, for comparisons of batches. */
export const exactCpu: DeviceOptions = { name: 'cpu', determinism: 'batch' };

/** Whether this run is the emulator's: the addon of the tests, and its device alone. */
export const isEmulated = process.env['PADLESS_ADDON'] === 'padless_emulator';

/** Every device that can be used, the CPU once with each of its instruction sets. Others are named with the reason. */
export function testDevices(): TestDevice[] {
  const found: TestDevice[] = [];
  for (const { name, kind, available, reason, isa: kernels } of devices()) {
    if (isEmulated && kind !== 'emulator') continue;
    if (!available) {
      console.info(`not tested: ${name}, ${reason}`);
    } else if (name === 'cpu') {
      for (const isa of isas) {
        // Suites compare sequences alone and in batches bit for bit; products of many rows have a test of their own.
        const request = { name, isa, determinism: 'batch' as const };
        // Tiles are AVX-512 with other products: test/native compares the two, and suites need one of them.
        if (isa === 'avx512' && opens({ name, isa: 'amx' })) continue;
        if (opens(request))
          found.push({ label: `cpu, ${isa}`, request, reducedPrecisions: ['bf16', 'int8'] });
        else console.info(`not tested: cpu, ${isa}: the processor lacks it`);
      }
    } else {
      const reducedPrecisions: Compute[] = kernels === 'sm_90' ? ['bf16', 'f16', 'fp8'] : ['bf16', 'f16'];
      found.push({ label: name, request: { name }, reducedPrecisions });
    }
  }
  return found;
}
