/**
 * Says of each measurement whether it moved: it is stuck when its time, the difference to the time before, or the difference
 * between the last two differences is 0. A stuck one adds nothing that its neighbours did not tell.
 *
 * Source: jitterentropy's stuck test (1st, 2nd and 3rd derivative of time). A clock that ticks by itself, work that always takes as
 * long and times that grow evenly are all stuck.
 */
export class StuckTest {
  #time = 0;
  #difference = 0;

  /** @param time - of one measurement, in counts of the clock */
  push(time: number): boolean {
    const difference = time - this.#time;
    const second = difference - this.#difference;
    this.#time = time;
    this.#difference = difference;
    return time === 0 || difference === 0 || second === 0;
  }
}
