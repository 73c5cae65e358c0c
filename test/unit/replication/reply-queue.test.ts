import { describe, expect, it } from 'vitest';
import type { ResourceSettings } from '../../../src/model/settings.ts';
import { BATCH, decodeBatch, FrameReader } from '../../../src/protocol/hast-message.ts';
import type { ConnectionPort } from '../../../src/replication/ports.ts';
import { ReplyQueue } from '../../../src/replication/reply-queue.ts';

/** What leaves, in words: `received 1,2`, `done 1,2`, `3 error`, `4 data`. */
function queue(batches: boolean): { replies: ReplyQueue; said: () => Promise<string[]> } {
  const reader = new FrameReader({ maxNvBytes: 65536, maxDataBytes: 131072 });
  const said: string[] = [];
  const send = (...parts: Buffer[]): number => {
    for (const { nv, data } of reader.push(Buffer.concat(parts))) {
      const seq = nv.big('seq', 'uint64');
      for (const [what, field] of Object.entries(BATCH)) {
        const value = nv.bytes(field);
        if (value !== undefined) said.push(`${what} ${decodeBatch(value).join()}`);
      }
      if (seq === undefined) continue;
      const error = nv.has('error') ? ' error' : '';
      said.push(`${seq}${nv.has('received') ? ' received' : ''}${error}${data === null ? '' : ' data'}`);
    }
    return 0;
  };
  const settings = { checksum: 'none', compression: 'none' } as ResourceSettings;
  const replies = new ReplyQueue(settings, { send } as unknown as ConnectionPort, 2, batches);
  return { replies, said: () => Promise.resolve().then(() => said.splice(0)) };
}

describe('answers of a secondary', () => {
  it('are one message for all that a turn did, to a primary that understands it', async () => {
    const { replies, said } = queue(true);
    const slots = [1, 2, 3].map((seq) => replies.slot(seq));
    for (const slot of slots) replies.received(slot);
    for (const slot of slots) replies.answer(slot, null);
    expect(await said()).toEqual(['received 1,2,3', 'done 1,2,3']);
  });

  it('keep the order of the requests, whatever ends first, with errors and data between', async () => {
    const { replies, said } = queue(true);
    const [a, b, c, d, e] = [1, 2, 3, 4, 5].map((seq) => replies.slot(seq));
    if (!a || !b || !c || !d || !e) throw new Error('there are five');
    replies.answer(e, null);
    replies.answer(c, 'EIO');
    replies.answer(b, null);
    expect(await said()).toEqual([]);
    replies.answer(a, null);
    replies.answerData(d, Buffer.from('data'));
    expect(await said()).toEqual(['done 1,2', '3 error', '4 data', 'done 5']);
  });

  it('are one message each to everybody else', async () => {
    const { replies, said } = queue(false);
    const slots = [1n, 2n].map((seq) => replies.slot(seq));
    for (const slot of slots) replies.received(slot);
    for (const slot of slots) replies.answer(slot, null);
    expect(await said()).toEqual(['1 received', '2 received', '1', '2']);
  });

  it('never make a message longer than a reader takes', async () => {
    const { replies, said } = queue(true);
    const slots = Array.from({ length: 10_000 }, (_, index) => replies.slot(index + 1));
    for (const slot of slots) replies.answer(slot, null);
    const seqs = (await said()).flatMap((text) => text.replace('done ', '').split(',').map(Number));
    expect(seqs).toEqual(slots.map(({ seq }) => seq));
  });
});
