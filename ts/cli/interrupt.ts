import { INTERRUPTED } from './failure';

/** How long the command may take to stop by itself. */
const GRACE_MS = 500;

/** Fires on Ctrl-C. A command that has not ended soon after, or a second Ctrl-C, ends the process. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.on('SIGINT', () => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
    setTimeout(() => process.exit(INTERRUPTED), GRACE_MS).unref();
  });
  return controller.signal;
}
