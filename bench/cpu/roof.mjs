// The machine's roof around every sample, and whether the machine was at full speed then.
import { setTimeout as sleep } from 'node:timers/promises';
import { buildProgram } from './native.mjs';
import { LineProcess } from './processes.mjs';

const BURST_MS = 8;
const CALIBRATION_BURSTS = 12;
/** A burst below this share of the best one seen: a slow moment, or a neighbour at work. */
const FULL_SPEED = 0.88;
/** Threads of a contestant may spin after its last answer. */
const SETTLE_MS = 25;
/** A chip that lowers its clock under heavy vector work raises it again within a few milliseconds. */
const AT_WORK_BURSTS = 5;
const AT_WORK_MS = 0.5;

export class Roof {
  #process;
  #best = { f32: 0, bf16: 0, int8: 0 };
  /** `{ isa, instructions }`: which instruction is the roof of each kind. */
  facts;
  /** Seconds that this run may still spend on waiting for full speed. */
  #patience;

  static async start({ threads, isa, patience }) {
    const roof = new Roof();
    roof.#process = new LineProcess(
      await buildProgram('roof_bench'),
      [String(threads), isa].filter((name) => name !== 'auto'),
    );
    roof.facts = JSON.parse(await roof.#process.read());
    roof.#patience = patience;
    for (const kind of Object.keys(roof.#best)) {
      for (let i = 0; i < CALIBRATION_BURSTS; i++) await roof.burst(kind);
    }
    return roof;
  }

  /** Operations a second now; bytes a second of `read`. */
  async burst(kind, milliseconds = BURST_MS) {
    const rate = Number(await this.#process.ask(`${kind} ${milliseconds}`));
    if (kind in this.#best) this.#best[kind] = Math.max(this.#best[kind], rate);
    return rate;
  }

  /** The best burst of each kind so far. */
  get best() {
    return { ...this.#best };
  }

  #isFull(kind, rate) {
    return rate >= FULL_SPEED * this.#best[kind];
  }

  /** The best of up to three bursts: the first may meet threads that still spin. */
  async #settled(kind) {
    let best = 0;
    for (let i = 0; i < 3 && !this.#isFull(kind, best); i++) {
      await sleep(SETTLE_MS);
      best = Math.max(best, await this.burst(kind));
    }
    return best;
  }

  async #waitForFullSpeed(kind) {
    const start = performance.now();
    let rate = await this.#settled(kind);
    while (!this.#isFull(kind, rate) && performance.now() - start < this.#patience * 1e3) {
      await sleep(100);
      rate = await this.#settled(kind);
    }
    this.#patience = Math.max(0, this.#patience - (performance.now() - start) / 1e3);
    return rate;
  }

  /** The roof at the clock that the work before has left. */
  async #atWork(kind) {
    let best = 0;
    for (let i = 0; i < AT_WORK_BURSTS; i++) best = Math.max(best, await this.burst(kind, AT_WORK_MS));
    return best;
  }

  /**
   * `measure()` between two bursts. `roof`: of the rested machine; `roofAtWork`: right after the sample;
   * `full`: the machine was at full speed before and after.
   */
  async around(kind, measure) {
    const before = await this.#waitForFullSpeed(kind);
    const ms = await measure();
    const roofAtWork = await this.#atWork(kind);
    const after = await this.#settled(kind);
    const full = this.#isFull(kind, before) && this.#isFull(kind, after);
    return { ms, roof: (before + after) / 2, roofAtWork, full };
  }

  async stop() {
    await this.#process.close();
  }
}
