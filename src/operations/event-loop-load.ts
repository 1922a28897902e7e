/** For how long a sample counts, in milliseconds: shorter ones would show single calls rather than load. */
const sampleMs = 1_000;

/**
 * How busy the event loop of this thread is: the share of the time in which it was not waiting, from 0 to 1, since the
 * sample before. Sampled when somebody asks, at most once a second.
 */
export class EventLoopLoad {
  #since = performance.eventLoopUtilization();
  #sampledAtMs = performance.now();
  #utilization = 0;

  get utilization(): number {
    const nowMs = performance.now();
    if (nowMs - this.#sampledAtMs >= sampleMs) {
      const total = performance.eventLoopUtilization();
      this.#utilization = performance.eventLoopUtilization(total, this.#since).utilization;
      this.#since = total;
      this.#sampledAtMs = nowMs;
    }
    return this.#utilization;
  }
}
