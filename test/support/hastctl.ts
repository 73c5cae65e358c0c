/** What the stock hastctl does with a control socket: one frame, one answer, the end. */
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';

import { FRAME_HEADER_BYTES } from '../../src/protocol/hast-frame.ts';
import {
  decodeHastctlReply,
  encodeHastctlRequest,
  HASTCTL_CMD,
  type HastctlReply,
} from '../../src/protocol/hastctl.ts';
import { decodeNv } from '../../src/protocol/nv.ts';
import type { HastRole } from '../../src/model/roles.ts';

/** All that the daemon says to these bytes until it ends the connection. */
export async function sayToControl(path: string, bytes: Buffer): Promise<Buffer> {
  const socket = connect({ path });
  socket.write(bytes);
  return buffer(socket);
}

/** `hastctl status NAME...` */
export async function askStatus(path: string, ...resources: string[]): Promise<HastctlReply> {
  const frame = encodeHastctlRequest({ cmd: HASTCTL_CMD.STATUS, role: null, resources });
  return readReply(await sayToControl(path, frame), 'status');
}

/** `hastctl role ROLE NAME...` */
export async function askRole(path: string, role: HastRole, ...resources: string[]): Promise<HastctlReply> {
  const frame = encodeHastctlRequest({ cmd: HASTCTL_CMD.SETROLE, role, resources });
  return readReply(await sayToControl(path, frame), 'setrole');
}

function readReply(frame: Buffer, kind: 'status' | 'setrole'): HastctlReply {
  return decodeHastctlReply(decodeNv(frame.subarray(FRAME_HEADER_BYTES)), kind);
}
