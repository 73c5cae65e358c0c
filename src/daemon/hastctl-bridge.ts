/**
 * Answers the stock hastctl. What it asks goes the same ways as our own command line's requests;
 * the answers are in hastd's words, order and numbers.
 * @see protocols: hast section 9
 */
import { HastateError, WireError } from '../model/errors.ts';
import type { NodeStatus, RoleResult } from '../protocol/control.ts';
import { errnoToWire } from '../protocol/hast-errno.ts';
import { FRAME_HEADER_BYTES } from '../protocol/hast-frame.ts';
import {
  decodeHastctlRequest,
  encodeHastctlReply,
  HASTCTL_CMD,
  HASTCTL_ERROR,
  type HastctlReply,
  type HastctlRequest,
} from '../protocol/hastctl.ts';
import { asHastctlStatus } from '../protocol/hastctl-status.ts';
import { decodeNv } from '../protocol/nv.ts';

export interface HastctlPorts {
  readonly version: string;
  status(): Promise<NodeStatus>;
  role(role: string, names: readonly string[]): Promise<readonly RoleResult[]>;
}

/**
 * @param frame header and fields of one request
 * @throws WireError when the fields cannot be read: hastd ends the connection then, too
 */
export async function answerHastctl(frame: Buffer, ports: HastctlPorts): Promise<Buffer> {
  return encodeHastctlReply(await reply(frame, ports));
}

async function reply(frame: Buffer, ports: HastctlPorts): Promise<HastctlReply> {
  const nv = decodeNv(frame.subarray(FRAME_HEADER_BYTES));
  let request: HastctlRequest;
  try {
    request = decodeHastctlRequest(nv);
  } catch (error) {
    if (error instanceof WireError) return { kind: 'error', error: HASTCTL_ERROR.INVALID };
    throw error;
  }
  const { cmd, role, resources } = request;
  if (resources.length === 0) return { kind: 'error', error: HASTCTL_ERROR.INVALID };
  if (request.introduces === true) return { kind: 'hastate', version: ports.version };
  switch (cmd) {
    case HASTCTL_CMD.SETROLE:
      return role === null
        ? { kind: 'error', error: HASTCTL_ERROR.INVALID }
        : setRole(role, resources, ports);
    case HASTCTL_CMD.STATUS:
      return statusOf(await ports.status(), resources);
    default:
      return { kind: 'error', error: HASTCTL_ERROR.UNIMPLEMENTED };
  }
}

function statusOf(status: NodeStatus, names: readonly string[]): HastctlReply {
  const known = new Map(status.resources.map((one) => [one.name, asHastctlStatus(one, status.pid)]));
  const wanted = names[0] === 'all' ? [...known.keys()] : names;
  return {
    kind: 'status',
    resources: wanted.map((name) => known.get(name) ?? { name, error: HASTCTL_ERROR.NO_ENTRY }),
  };
}

async function setRole(role: string, names: readonly string[], ports: HastctlPorts): Promise<HastctlReply> {
  try {
    const results = await ports.role(role, names);
    return {
      kind: 'setrole',
      resources: results.map(({ resource, previous, number }) =>
        number === 0
          ? { name: resource, previousRole: previous ?? 'init' }
          : { name: resource, error: number },
      ),
    };
  } catch (error) {
    if (error instanceof HastateError) return { kind: 'error', error: errnoToWire('EBUSY') };
    throw error;
  }
}
