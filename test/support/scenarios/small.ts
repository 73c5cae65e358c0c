/** Small pure deciders: times of the configuration, clients of a device, who may be met on the data link. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';

import { GgateHandshake } from '../../../src/device/ggate-handshake.ts';
import { checkTiming, DEFAULT_TIMING, type Timing } from '../../../src/model/timing.ts';
import {
  encodeGgateClientInit,
  encodeGgateVersion,
  GGATE_VERSION,
  GgateFlag,
} from '../../../src/protocol/ggate.ts';
import { decodeNv, encodeNv, type NvField } from '../../../src/protocol/nv.ts';
import { distrusts, proven } from '../../../src/replication/peer-proof.ts';
import type { EngineCore } from '../../../src/replication/core.ts';

/** `expect`: words of the error, or null for good times. */
export interface TimingScenario {
  readonly timing: Partial<Timing>;
  readonly expect: string | null;
}

export function runTiming({ timing, expect: expected }: TimingScenario): void {
  const check = (): void => checkTiming({ ...DEFAULT_TIMING, ...timing });
  if (expected === null) expect(check).not.toThrow();
  else expect(check).toThrow(expected);
}

/** A client that asks for `path` while disk1 is primary in epoch 7 (id aa). `expect`: served, or words of the refusal. */
export interface ClientScenario {
  readonly client: { readonly path: string };
  readonly expect: string;
}

export function runClient({ client, expect: expected }: ClientScenario): void {
  const epoch = { number: 7, id: '00000000000000aa' };
  const handshake = new GgateHandshake({ exportName: 'disk1', epoch, sizeBytes: 1 << 20, sectorBytes: 512 });
  handshake.step(encodeGgateVersion({ version: GGATE_VERSION, error: 0 }));
  const init = { path: client.path, flags: GgateFlag.SEND, connections: 2, token: 1 };
  const outcome = handshake.step(encodeGgateClientInit(init))?.outcome ?? null;
  if (expected === 'served') expect(outcome).toHaveProperty('client');
  else expect(outcome).toHaveProperty('refusal', expect.stringContaining(expected));
}

/** A peer that connects. `expect`: met, or words of the refusal. */
export interface MeetScenario {
  readonly meet: {
    readonly ourSecret: string | null;
    readonly theirSecret: string | null;
    readonly peerKind?: 'hastate' | 'hastd';
    /** It says that it is hastate, and so knows epochs. */
    readonly hastate?: boolean;
    /** The proof was made for another resource. */
    readonly replayed?: boolean;
  };
  readonly expect: string;
}

export function runMeet({ meet, expect: expected }: MeetScenario): void {
  const { ourSecret, theirSecret, peerKind = 'hastate', hastate = true, replayed = false } = meet;
  const proof = { sender: 'secondary' as const, nonce: Buffer.alloc(16, 1), token: Buffer.alloc(16, 2) };
  const fields: NvField[] = hastate ? [{ name: 'hastate', type: 'uint8', value: 1 }] : [];
  const sent = proven(coreOf(theirSecret, 'hastate', replayed ? 'disk2' : 'disk1'), proof, fields);
  const refusal = distrusts(coreOf(ourSecret, peerKind, 'disk1'), proof, decodeNv(encodeNv(sent)), null);
  if (expected === 'met') expect(refusal).toBeNull();
  else expect(refusal).toContain(expected);
}

function coreOf(secret: string | null, peerKind: 'hastate' | 'hastd', name: string): EngineCore {
  const linkKey = secret === null ? null : createHash('sha256').update(secret).digest();
  return { setup: { linkKey, peerKind, resource: { name } } } as unknown as EngineCore;
}
