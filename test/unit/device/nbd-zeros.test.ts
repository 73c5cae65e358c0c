/** Requests that carry no data, and what several clients of one export may rely on. */
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from './memory-device.ts';
import { opened, request, serve } from './nbd-fixture.ts';

const MIB = 1024 * 1024;

describe('the NBD server', () => {
  it('passes zeros and hints on with what they allow, of any length', async () => {
    const device = new MemoryDevice(64 * MIB);
    device.content.fill(1);
    const client = await (await serve(device)).raw();
    await opened(client);
    client.socket.write(
      Buffer.concat([
        request(6, 1, 0, 40 * MIB),
        request(6, 2, 512, 512, 1 | 2),
        request(6, 3, 512, 512, 16),
        request(4, 4, 48 * MIB, 16 * MIB),
        request(4, 5, 0, 512, 1),
      ]),
    );
    for (let reply = 0; reply < 5; reply += 1) expect((await client.take(16)).readUInt32BE(4)).toBe(0);
    expect(device.requests).toEqual([
      `zero 0 ${40 * MIB}`,
      'zero 512 512 fua no-hole',
      'zero 512 512 fast',
      `discard ${48 * MIB} ${16 * MIB}`,
      'discard 0 512 fua',
    ]);
    expect(device.content.subarray(0, 40 * MIB).every((byte) => byte === 0)).toBe(true);
    expect(device.content[40 * MIB]).toBe(1);
  });

  it('says that fast zeros are not to be had, and only then', async () => {
    const device = new MemoryDevice(MIB);
    device.discards = false;
    const client = await (await serve(device)).raw();
    await opened(client);
    client.socket.write(Buffer.concat([request(6, 1, 0, 512, 16), request(6, 2, 0, 512)]));
    expect((await client.take(16)).readUInt32BE(4)).toBe(95);
    expect((await client.take(16)).readUInt32BE(4)).toBe(0);
  });

  it('answers a flush of one client only after what it had answered another before is flushed', async () => {
    const device = new MemoryDevice(MIB);
    device.later = true;
    const served = await serve(device);
    const [one, two] = [await served.connect(), await served.connect()];
    for (let round = 0; round < 20; round += 1) {
      await one.write(0, Buffer.alloc(512, round));
      await two.flush();
      expect(device.requests.splice(0)).toEqual(['write 0 512', 'flush']);
    }
  });
});
