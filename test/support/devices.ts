// The devices this machine can test on: every suite in test/device runs once on each.
import { device, devices, type DeviceOptions } from '../../ts/device';
import { PadlessError } from '../../ts/errors';

export interface TestDevice {
  label: string;
  request: DeviceOptions & { name: string };
}

const isas = ['avx512', 'avx2', 'portable'] as const;

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

/** Every device that can be used, the CPU once with each of its instruction sets. Others are named with the reason. */
export function testDevices(): TestDevice[] {
  const found: TestDevice[] = [];
  for (const { name, available, reason } of devices()) {
    if (!available) {
      console.info(`not tested: ${name}, ${reason}`);
    } else if (name === 'cpu') {
      for (const isa of isas) {
        const request = { name, isa };
        if (opens(request)) found.push({ label: `cpu, ${isa}`, request });
        else console.info(`not tested: cpu, ${isa}: the processor lacks it`);
      }
    } else {
      found.push({ label: name, request: { name } });
    }
  }
  return found;
}
