import { SingleBar } from 'cli-progress';

const MIB = 2 ** 20;

export interface TransferBar extends AsyncDisposable {
  /** Names the file that comes now. */
  file(name: string): void;
  add: (bytes: number) => void;
}

/** A progress bar on standard error, counted in bytes; nothing where that is no terminal. */
export function transferBar(total: number): TransferBar {
  const bar = new SingleBar({
    format: '{bar} {percentage}% {done}/{size} MiB {file}',
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stderr,
  });
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  let done = 0;
  bar.start(total, 0, { done: mib(0), size: mib(total), file: '' });
  return {
    file: (file) => bar.update(done, { file }),
    add: (bytes) => {
      done += bytes;
      bar.update(done, { done: mib(done) });
    },
    [Symbol.asyncDispose]: async () => bar.stop(),
  };
}
