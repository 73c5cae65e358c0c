import { describe, expect, it } from 'vitest';
import { MemoryDevice } from './memory-device.ts';
import { content, serve } from './nbd-fixture.ts';

const MIB = 1024 * 1024;

/** Answers every third write at once, and reads the data of the others only when released. */
class SlowDevice extends MemoryDevice {
  #writes = 0;
  #slow: (() => void)[] = [];

  override write(
    offset: number,
    data: Buffer,
    fua: boolean,
    done: (error: string | null) => void,
    free?: () => void,
  ): void {
    this.#writes += 1;
    if (this.#writes % 3 === 0) super.write(offset, data, fua, done, free);
    else this.#slow.push(() => super.write(offset, data, fua, done, free));
  }

  finish(): void {
    const slow = this.#slow;
    this.#slow = [];
    for (const write of slow) write();
  }

  get started(): number {
    return this.#writes;
  }
}

describe('the memory of writes', () => {
  it.each([4096, 100_352, MIB])(
    'stays as it is while the device has writes of %d bytes, and is used again after',
    async (bytes) => {
      const device = new SlowDevice(16 * MIB);
      const nbd = await (await serve(device)).connect();
      const data = content(16 * MIB);
      const count = Math.min(900, Math.floor(data.length / bytes));
      for (let round = 0; round < 3; round += 1) {
        device.content.fill(0);
        const before = device.started;
        const writes = Array.from({ length: count }, (_, index) =>
          nbd.write(index * bytes, data.subarray(index * bytes, (index + 1) * bytes)),
        );
        await expect.poll(() => device.started - before).toBe(count);
        device.finish();
        await Promise.all(writes);
        expect(device.content.subarray(0, count * bytes).equals(data.subarray(0, count * bytes))).toBe(true);
      }
    },
  );
});
