/**
 * FreeBSD's own CARP elects, and goes on when this daemon dies: we set it up, push our fitness into its demotion
 * counter, and hear of its elections from devd.
 * @see carp-vrrp 1.7, 3.2, carp(4)
 */
import { describeError, NetError } from '../model/errors.ts';
import type { CarpState } from '../model/roles.ts';
import { addressOf } from '../protocol/ip-address.ts';
import { watchDevd } from './devd.ts';
import type { ForeignElection, StateNews } from './foreign-election.ts';
import type { NetLog } from './log.ts';
import { runCommand } from './run-command.ts';
import type { RunCommand } from './run-command.ts';

/** As much as carp(4) adds for a lost link: nobody is worse. */
const HELD_BACK = 240;
/** devd may be restarted: what it did not tell is looked up. */
const LOOK_MS = 1000;
const DEMOTION = 'net.inet.carp.demotion';

export interface KernelCarpOptions {
  readonly interface: string;
  readonly vhid: number;
  readonly advbase: number;
  readonly advskew: number;
  /** Empty = none. FreeBSD takes it only as an argument: other users see it while ifconfig runs. */
  readonly password: string;
  /** CIDR. */
  readonly addresses: readonly string[];
  readonly onChange: (news: StateNews) => void;
  readonly log: NetLog;
  readonly run?: RunCommand;
  readonly devdPath?: string;
  readonly lookMs?: number;
}

/** The vhid's line of `ifconfig`. null = the vhid is not there */
export function parseCarpState(output: string, vhid: number): CarpState | null {
  for (const [, state, id] of output.matchAll(/^\s+carp: (\w+) vhid (\d+) /gm)) {
    if (Number(id) !== vhid) continue;
    return state === 'MASTER' || state === 'BACKUP' ? state : 'INIT';
  }
  return null;
}

/** @throws NetError `kernel-carp` when the module is not loaded or the vhid cannot be set up */
export async function startKernelCarp(options: KernelCarpOptions): Promise<ForeignElection> {
  const { interface: iface, vhid, log, onChange, run = runCommand, lookMs = LOOK_MS } = options;
  const must = async (argv: readonly string[], shown = argv): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(argv);
    if (exitCode === 0) return stdout;
    const said = stderr.trim() || `exit code ${exitCode}`;
    throw new NetError('kernel-carp', `\`${shown.join(' ')}\` says: ${said}`);
  };
  if ((await run(['sysctl', '-n', 'net.inet.carp.allow'])).exitCode !== 0) {
    throw new NetError(
      'kernel-carp',
      'the kernel has no CARP: `kldload carp`, and carp_load="YES" in loader.conf',
    );
  }
  let state: CarpState = 'INIT';
  /** What we added to the counter, so that exactly that is taken back. */
  let ours = 0;
  let trouble: string | null = null;
  let failedLooks = 0;
  const count = { changes: 0, devd: 0 };

  const change = (to: CarpState, reason: string): void => {
    if (to === state) return;
    const from = state;
    state = to;
    count.changes += 1;
    onChange({ from, to, reason });
  };
  const demote = async (by: number): Promise<void> => {
    if (by === 0) return;
    // A write adds to what is there.
    await must(['sysctl', `${DEMOTION}=${by}`]);
    ours += by;
  };
  const look = async (): Promise<void> => {
    const seen = parseCarpState(await must(['ifconfig', iface]), vhid);
    change(seen ?? 'INIT', seen === null ? `vhid ${vhid} is gone from ${iface}` : 'seen at ifconfig');
    const foreign = Number(await must(['sysctl', '-n', DEMOTION])) - ours;
    const leak = foreign === 0 ? null : leakOf(foreign, state);
    if (leak !== null && leak !== trouble) log('warn', leak);
    trouble = leak;
  };

  await demote(HELD_BACK);
  try {
    for (const argv of setUpCommands(options)) await must(argv.command, argv.shown);
    await look();
  } catch (error) {
    await demote(-ours).catch(() => undefined);
    throw error;
  }

  let looking: Promise<void> | null = null;
  const lookSoon = (): void => {
    looking ??= look()
      .then(() => void (failedLooks = 0))
      .catch((error: unknown) => {
        failedLooks += 1;
        if (failedLooks === 1) log('warn', `kernel-carp: ${describeError(error)}`);
      })
      .finally(() => void (looking = null));
  };
  const devd = watchDevd({
    log,
    ...(options.devdPath === undefined ? {} : { path: options.devdPath }),
    onConnect: lookSoon,
    onEvent: ({ system, subsystem, type }) => {
      if (system === 'CARP' && subsystem === `${vhid}@${iface}`) {
        count.devd += 1;
        change(type === 'MASTER' || type === 'BACKUP' ? type : 'INIT', 'told by devd');
      } else if (system === 'IFNET' && subsystem === iface) lookSoon();
    },
  });
  const timer = setInterval(lookSoon, lookMs);

  return {
    kind: 'kernel-carp',
    state: () => state,
    holdBack: (on) => demote((on ? HELD_BACK : 0) - ours),
    handOver: async () => {
      await must(['ifconfig', iface, 'vhid', String(vhid), 'state', 'backup']);
      await look();
    },
    trouble: () => trouble,
    counters: () => ({ ...count }),
    // Not by demotion: a write adds, and nobody would know how often it was done.
    cleanupActions: () =>
      options.addresses.map((cidr) => {
        const family = cidr.includes(':') ? 'inet6' : 'inet';
        return ['ifconfig', iface, family, addressOf(cidr), '-alias'];
      }),
    close: async () => {
      clearInterval(timer);
      devd.close();
      await looking;
      await demote(HELD_BACK - ours);
    },
  };
}

function setUpCommands(options: KernelCarpOptions): { command: string[]; shown: string[] }[] {
  const { interface: iface, vhid, advbase, advskew, password, addresses } = options;
  return addresses.map((cidr) => {
    const family = cidr.includes(':') ? 'inet6' : 'inet';
    const timing = ['vhid', String(vhid), 'advbase', String(advbase), 'advskew', String(advskew)];
    const secret = (text: string): string[] => (password === '' ? [] : ['pass', text]);
    const line = (text: string): string[] => [
      'ifconfig',
      iface,
      family,
      cidr,
      ...timing,
      ...secret(text),
      'alias',
    ];
    return { command: line(password), shown: line('...') };
  });
}

/** FreeBSD 12 adds 240 for failed adverts and never takes it back; a lost link or a person may have added, too. */
function leakOf(foreign: number, state: CarpState): string {
  const remedy = `sysctl ${DEMOTION}=${-foreign}`;
  return state === 'INIT'
    ? `carp: demoted by ${foreign} besides us, as after a lost link`
    : `carp: demoted by ${foreign} besides us; when all links are up again and nobody did that on purpose, the kernel forgot to undo it: ${remedy}`;
}
