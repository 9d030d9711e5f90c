// Where measurements go: one JSON line each as soon as it is there, so that what ends a program early, or one load that
// fails, loses no other.
import { appendFileSync } from 'node:fs';

/** `seconds`: how long measuring may go on; nothing is begun after that. */
export class Results {
  failed = 0;
  leftOut = 0;
  #file;
  #end;

  constructor(file, seconds = Infinity) {
    this.#file = file;
    this.#end = performance.now() + 1000 * seconds;
  }

  add(line) {
    const text = JSON.stringify(line);
    console.log(text);
    if (this.#file) appendFileSync(this.#file, `${text}\n`);
  }

  /** Of `fields`, measured by `work`, which adds lines itself; an error becomes a line and ends nothing. */
  async measure(fields, work) {
    if (performance.now() > this.#end) {
      this.leftOut++;
      return;
    }
    try {
      await work();
    } catch (error) {
      this.failed++;
      this.add({ ...fields, error: String(error?.message ?? error) });
    }
  }

  /** The last line of a program, and its exit code. */
  finish() {
    console.log(`${this.failed} failed, ${this.leftOut} left out for want of time`);
    return this.failed === 0 ? 0 : 1;
  }
}
