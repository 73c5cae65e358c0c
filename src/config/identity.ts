/** Who this machine is, as hastd finds out. @see protocols: hast section 1, "Me" */
import { execFile } from 'node:child_process';
import { hostname } from 'node:os';
import { promisify } from 'node:util';

export interface Identity {
  /** As gethostname() has it. */
  readonly hostname: string;
  /** kern.hostuuid, or null where there is none. */
  readonly hostuuid: string | null;
  /** kern.hostid in decimal, or null where there is none. */
  readonly hostid: string | null;
}

/** Asks the system; a fact that it does not give within 2 s counts as absent. */
export async function systemIdentity(): Promise<Identity> {
  const [hostuuid, hostid] = await Promise.all([sysctl('kern.hostuuid'), sysctl('kern.hostid')]);
  return { hostname: hostname(), hostuuid, hostid };
}

async function sysctl(name: string): Promise<string | null> {
  if (process.platform !== 'freebsd') return null;
  try {
    const { stdout } = await promisify(execFile)('/sbin/sysctl', ['-n', name], { timeout: 2000 });
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

/** The names of `on` sections that mean this machine, in the order in which hastd prints them. */
export function acceptableNames(identity: Identity): string[] {
  const dot = identity.hostname.indexOf('.');
  const names = dot > 0 ? [identity.hostname.slice(0, dot)] : [];
  names.push(identity.hostname);
  if (identity.hostuuid !== null) names.push(identity.hostuuid);
  if (identity.hostid !== null) names.push(`hostid${identity.hostid}`);
  return names;
}

/** Whether `on NAME` means this machine. The uuid is compared without regard to case. */
export function isMe(name: string, identity: Identity): boolean {
  return acceptableNames(identity).includes(name) || name.toLowerCase() === identity.hostuuid?.toLowerCase();
}
