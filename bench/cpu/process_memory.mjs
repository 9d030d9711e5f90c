import { readFileSync } from 'node:fs';

/** A field of /proc/self/status in MiB: VmRSS is what is resident now, VmHWM the most that ever was. */
export function statusMiB(key) {
  const text = readFileSync('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)[1]) / 1024;
}
