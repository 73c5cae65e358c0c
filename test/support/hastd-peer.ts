/**
 * The control socket of a stock hastd: one frame, one answer, the end. Anything else is cut off.
 * Answers with captured or given resources; roles change as hastd changes them.
 */
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';

import { FrameReader } from '../../src/protocol/hast-frame.ts';
import {
  decodeHastctlRequest,
  encodeHastctlReply,
  HASTCTL_CMD,
  HASTCTL_ERROR,
  type HastctlReply,
  type HastctlRequest,
  type HastctlStatus,
} from '../../src/protocol/hastctl.ts';

const LIMITS = { maxNvBytes: 65536, maxDataBytes: 1 };

export class HastdPeer {
  /** All that was asked, as it came. */
  readonly asked: Buffer[] = [];
  /** Connections that were cut off because they spoke something else. */
  cutOff = 0;
  readonly #server: Server;
  readonly #resources: readonly HastctlStatus[];

  private constructor(resources: readonly HastctlStatus[]) {
    this.#resources = resources;
    this.#server = createServer((socket) => {
      const reader = new FrameReader(LIMITS);
      const chunks: Buffer[] = [];
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        chunks.push(chunk);
        try {
          const [frame] = reader.push(chunk);
          if (frame === undefined) return;
          this.asked.push(Buffer.concat(chunks));
          const request = decodeHastctlRequest(frame.nv);
          // It looks fields up by name: what it does not know it does not see.
          socket.end(encodeHastctlReply(this.#answer({ ...request, introduces: false })));
        } catch {
          this.cutOff++;
          socket.destroy();
        }
      });
    });
  }

  static async start(path: string, resources: readonly HastctlStatus[]): Promise<HastdPeer> {
    const peer = new HastdPeer(resources);
    peer.#server.listen(path);
    await once(peer.#server, 'listening');
    return peer;
  }

  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer({ cmd, role, resources }: HastctlRequest): HastctlReply {
    if (resources.length === 0) return { kind: 'error', error: HASTCTL_ERROR.INVALID };
    const known = new Map(this.#resources.map((one) => [one.name, one]));
    const names = resources[0] === 'all' ? [...known.keys()] : resources;
    if (cmd === HASTCTL_CMD.STATUS) {
      return {
        kind: 'status',
        resources: names.map((name) => known.get(name) ?? { name, error: HASTCTL_ERROR.NO_ENTRY }),
      };
    }
    if (cmd !== HASTCTL_CMD.SETROLE) return { kind: 'error', error: HASTCTL_ERROR.UNIMPLEMENTED };
    if (role === null) return { kind: 'error', error: HASTCTL_ERROR.INVALID };
    return {
      kind: 'setrole',
      resources: names.map((name) => {
        const before = known.get(name);
        return before === undefined
          ? { name, error: HASTCTL_ERROR.NO_ENTRY }
          : { name, previousRole: before.role };
      }),
    };
  }
}
