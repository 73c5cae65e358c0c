/**
 * `hastate verify`: the primary compares both disks. Asked on either node; beside a plain hastd only on
 * the primary itself.
 */
import { HastateError, NetError } from '../model/errors.ts';
import type { VerifyResult } from '../protocol/control.ts';
import { readVerifyRequest, type VerifyRequest } from '../protocol/verify-message.ts';
import type { ResolvePorts } from './resolve.ts';

const ASK_MS = 10_000;
const REFRESH_MS = 1000;

export type VerifyPorts = Omit<ResolvePorts, 'sources'> & {
  readonly sources: Pick<ResolvePorts['sources'], 'members'>;
};

/**
 * An operator's word on this node.
 * @throws HastateError `unknown-resource`, `verify-elsewhere`, EngineError of the engine; WireError
 */
export async function verifyResource(
  ports: VerifyPorts,
  params: Readonly<Record<string, unknown>>,
): Promise<VerifyResult> {
  const request = readVerifyRequest(params);
  const { runtime } = ports;
  const { resource } = request;
  if (isPrimary(ports, resource)) return perform(ports, request);
  const peer = runtime.settings.peer?.name ?? null;
  if (peer === null)
    throw new HastateError(
      'verify-elsewhere',
      `${resource} is not primary on ${runtime.node}, and hastate.yaml names no other node: ask on its primary`,
    );
  try {
    return (await ports.askPeer('verify', { ...request }, ASK_MS)) as VerifyResult;
  } catch (cause) {
    if (!(cause instanceof NetError) || cause.code === 'peer-refused') throw cause;
    throw new HastateError(
      'verify-elsewhere',
      `${resource} is not primary on ${runtime.node}, and ${peer} cannot be asked from here (${cause.message}): ask on ${peer}`,
      { cause },
    );
  }
}

/** The other node's operator asks. @throws as verifyResource() */
export async function answerVerify(
  ports: VerifyPorts,
  params: Readonly<Record<string, unknown>>,
): Promise<VerifyResult> {
  const request = readVerifyRequest(params);
  if (isPrimary(ports, request.resource)) return perform(ports, request);
  throw new HastateError(
    'not-primary',
    `${request.resource} is primary on neither node: there is nobody to compare the disks`,
  );
}

async function perform(ports: VerifyPorts, request: VerifyRequest): Promise<VerifyResult> {
  const { runtime } = ports;
  const { resource } = request;
  const member = findMember(ports, resource);
  if (request.action === 'look') await member.refresh(REFRESH_MS);
  else {
    const { action } = request;
    const how = action === 'stop' ? ' --stop' : request.repair ? ' --repair' : '';
    runtime.journal.add({
      kind: 'operator.verify',
      level: 'info',
      resource,
      message: `an operator asks: hastate verify ${resource}${how}`,
    });
    await member.command(
      action === 'stop'
        ? { type: 'verify', action }
        : { type: 'verify', action, rate: request.rate, repair: request.repair },
    );
  }
  return { resource, node: runtime.node, verify: member.snapshot?.verify ?? null };
}

function isPrimary(ports: VerifyPorts, resource: string): boolean {
  return findMember(ports, resource).snapshot?.role === 'primary';
}

function findMember({ runtime, sources }: VerifyPorts, resource: string) {
  const member = sources.members.get(resource);
  if (member !== undefined) return member;
  throw new HastateError(
    'unknown-resource',
    `there is no resource '${resource}' in hast.conf of ${runtime.node}`,
  );
}
