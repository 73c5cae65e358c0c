/**
 * Tells when an interface comes and goes, within about 100 ms: Node has no netlink, so it is looked at ten times a
 * second, and at once when the kernel says that something changed (through koffi).
 */
import { describeError } from '../model/errors.ts';
import { addressOf } from '../protocol/ip-address.ts';
import { readLink } from './link-state.ts';
import type { LinkState } from './link-state.ts';
import { watchNetlink } from './netlink.ts';
import type { NetLog } from './log.ts';

const EVERY_MS = 100;

export interface LinkWatch {
  /** As it was last seen. */
  state(): LinkState;
  close(): void;
}

export interface LinkWatchOptions {
  readonly interface: string;
  /** Address families that need an own address there. */
  readonly families: readonly (4 | 6)[];
  /** Addresses that move, CIDR or plain: they do not count. */
  readonly shared: readonly string[];
  readonly onChange: (state: LinkState) => void;
  readonly log: NetLog;
  /** ms between two looks, default 100. */
  readonly everyMs?: number;
}

/** Resolves after the first look, which `onChange` is not told. */
export async function watchLink(options: LinkWatchOptions): Promise<LinkWatch> {
  const { interface: iface, families, onChange, log, everyMs = EVERY_MS } = options;
  const shared = new Set(options.shared.map(addressOf));
  let state = await readLink(iface, families, shared);
  let looking = false;
  let again = false;
  let closed = false;

  const look = async (): Promise<void> => {
    const seen = await readLink(iface, families, shared);
    if (closed || (seen.up === state.up && seen.reason === state.reason)) return;
    const turned = seen.up !== state.up;
    state = seen;
    log(seen.up ? 'info' : 'warn', `link: ${seen.reason}`);
    if (turned) onChange(seen);
  };
  const soon = (): void => {
    again = looking;
    if (looking || closed) return;
    looking = true;
    look()
      .catch((error: unknown) => log('warn', `link: ${iface} cannot be looked at: ${describeError(error)}`))
      .finally(() => {
        looking = false;
        if (again) soon();
      });
  };
  const timer = setInterval(soon, everyMs);
  const netlink = watchNetlink(soon);
  return {
    state: () => state,
    close: () => {
      closed = true;
      clearInterval(timer);
      netlink?.close();
    },
  };
}
