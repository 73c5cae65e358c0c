import { describe, expect, it } from 'vitest';
import { encodeRequest, NbdCommand } from '../../../src/protocol/nbd.ts';
import { MemoryDevice } from './memory-device.ts';
import { content, opened, serve } from './nbd-fixture.ts';

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

/** Keeps so many writes until told, does the others at once, and counts those whose data did not stay as it was. */
class KeepingDevice extends MemoryDevice {
  started = 0;
  changed = 0;
  toKeep = 0;
  #kept: (() => void)[] = [];

  override write(
    offset: number,
    data: Buffer,
    fua: boolean,
    done: (error: string | null) => void,
    free?: () => void,
  ): void {
    this.started += 1;
    this.toKeep -= 1;
    const before = Buffer.from(data);
    const end = (): void => {
      if (!before.equals(data)) this.changed += 1;
      super.write(offset, data, fua, done, free);
    };
    if (this.toKeep < 0) end();
    else this.#kept.push(end);
  }

  finish(): void {
    for (const write of this.#kept.splice(0)) write();
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

  it('stays as it is where the rest of a burst moved to other memory before it was looked at', async () => {
    const device = new KeepingDevice(MIB);
    const client = await (await serve(device)).raw();
    await opened(client);
    const data = content(MIB);
    const request = (index: number, cookie: number): Buffer[] => [
      encodeRequest({
        flags: 0,
        type: NbdCommand.WRITE,
        cookieHigh: 0,
        cookieLow: cookie,
        offset: index * 4096,
        length: 4096,
      }),
      data.subarray(index * 4096, (index + 1) * 4096),
    ];
    let sent = 0;
    for (let round = 0; round < 600; round += 1) {
      const count = 20 + (round % 29);
      const burst = Array.from({ length: count }, (_, index) => request((sent + index) % 256, sent + index));
      sent += count;
      // The end of a burst is done at once, its beginning only when the memory has long been used again.
      device.toKeep = count - (round % 17);
      client.socket.write(Buffer.concat(burst.flat()));
      await expect.poll(() => device.started, { interval: 1 }).toBe(sent);
      if (round % 8 === 7) device.finish();
    }
    device.finish();
    expect(device.changed).toBe(0);
  });
});
