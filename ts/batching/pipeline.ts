/** How {@link pipelined} runs one item. */
export interface Stages<T, R> {
  /** Most items running at once. */
  depth: number;
  /** Called for each item, in order. */
  start: (item: T) => Promise<R>;
  /** Called with each result, in order. */
  finish: (result: R) => Promise<void>;
  /** Called at the first failure, to stop what still runs. */
  cancel: (error: unknown) => void;
}

/**
 * Starts items ahead of the one being finished. After a failure nothing more is started, and all that ran has
 * settled before the promise rejects.
 */
export async function pipelined<T, R>(items: AsyncIterable<T>, stages: Stages<T, R>): Promise<void> {
  const running: Promise<R>[] = [];
  const finishFirst = async () => {
    const result = await running[0]!;
    running.shift();
    await stages.finish(result);
  };
  try {
    for await (const item of items) {
      const result = stages.start(item);
      // Awaited in turn; a failure in the meantime is not an unhandled one.
      result.catch(() => {});
      running.push(result);
      if (running.length >= stages.depth) await finishFirst();
    }
    while (running.length > 0) await finishFirst();
  } catch (error) {
    stages.cancel(error);
    await Promise.allSettled(running);
    throw error;
  }
}
