/** Whom hastate is elected among, and how each of them is started, better or worse than the other. */
import type { CarpNodeOptions } from '../../test/fixtures/carp-node.ts';
import type { BridgeLab, Side } from '../../test/support/bridge-lab.ts';
import {
  type ForeignAdvertiser,
  startKeepalived,
  startUcarp,
} from '../../test/support/foreign-advertisers.ts';
import type { Talker } from '../../test/support/talker.ts';

const VHID = 7;
const HOST = { a: 1, b: 2 } as const;
const OTHER = { a: 'b', b: 'a' } as const;

export type Standing = 'better' | 'worse';

/** One of the two that stand for election. */
export interface Party {
  crash(): Promise<void>;
  /** In good order. */
  stop(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  running(): boolean;
}

type StartParty = (lab: BridgeLab, side: Side, standing: Standing, password?: string) => Promise<Party>;

export interface Kind {
  readonly name: string;
  readonly what: string;
  /** Asked by the client. */
  readonly address: string;
  readonly advertMs: number;
  /** What a worse one waits for after the last advert, as the protocol has it. ms */
  readonly downMs: number;
  /** What it waits when the better one ends in good order, with a good-bye where the protocol's peers say one. ms */
  readonly successionMs: number;
  /** Whether the protocol knows a password. */
  readonly password: boolean;
  readonly ours: StartParty;
  readonly peer: StartParty;
}

const PASSWORD = 's3cretPW';
const ADVSKEW = { better: 0, worse: 100 } as const;
const PRIORITY = { better: 150, worse: 100 } as const;

function partyOf(talker: Talker, foreign?: ForeignAdvertiser): Party {
  const signal = (name: NodeJS.Signals): Promise<void> => {
    talker.signal(name);
    return Promise.resolve();
  };
  return {
    running: () => talker.running(),
    crash: () => foreign?.crash() ?? talker.kill('SIGKILL'),
    // In good order, which takes as long as it takes.
    stop: () => signal('SIGTERM'),
    freeze: () => foreign?.freeze() ?? signal('SIGSTOP'),
    thaw: () => foreign?.thaw() ?? signal('SIGCONT'),
  };
}

function ourParty(
  lab: BridgeLab,
  side: Side,
  options: Omit<CarpNodeOptions, 'interface' | 'vhid' | 'preempt'>,
): Promise<Party> {
  return Promise.resolve(partyOf(lab.carpNode(side, { vhid: VHID, preempt: true, ...options })));
}

function carp(name: string, what: string, peer: StartParty | null): Kind {
  const ours: StartParty = (lab, side, standing, password = PASSWORD) =>
    ourParty(lab, side, {
      password,
      addresses: ['10.78.0.100/24'],
      election: { protocol: 'carp', advbase: 1, advskew: ADVSKEW[standing], tieBreak: 'ucarp' },
    });
  const down = 3000 + (ADVSKEW.worse * 1000) / 256;
  const times = {
    ...{ address: '10.78.0.100', advertMs: 1000, downMs: down },
    // ucarp and FreeBSD say no good-bye.
    successionMs: peer === null ? 0 : down,
  };
  return { name, what, ...times, password: true, ours, peer: peer ?? ours };
}

interface VrrpKind {
  readonly version: 2 | 3;
  readonly intervalMs: number;
  readonly addresses: readonly string[];
  readonly unicast?: boolean;
}

function vrrp(name: string, what: string, kind: VrrpKind, among: 'keepalived' | 'ourselves'): Kind {
  const { version, intervalMs, addresses, unicast = false } = kind;
  const address = addresses.at(-1)?.replace(/\/.*/, '') ?? '';
  const skewMs = ((256 - PRIORITY.worse) * (version === 2 ? 1000 : intervalMs)) / 256;
  const ours: StartParty = (lab, side, standing, password = version === 2 ? PASSWORD : '') =>
    ourParty(lab, side, {
      password,
      addresses,
      election: {
        protocol: version === 2 ? 'vrrp2' : 'vrrp3',
        priority: PRIORITY[standing],
        intervalMs,
        downAdverts: 3,
      },
      unicast: unicast ? [`10.78.0.${HOST[OTHER[side]]}`] : [],
    });
  const keepalived: StartParty = async (lab, side, standing, password = PASSWORD) => {
    const instance = `
  virtual_router_id ${VHID}
  priority ${PRIORITY[standing]}
  advert_int ${intervalMs / 1000}
  version ${version}
  ${version === 2 ? `authentication { auth_type PASS\n auth_pass ${password}\n }` : ''}
  ${unicast ? `unicast_src_ip 10.78.0.${HOST[side]}\n unicast_peer { 10.78.0.${HOST[OTHER[side]]}\n }` : ''}
  virtual_ipaddress {
    ${addresses.join('\n    ')}
  }`;
    const start = (...argv: string[]): Talker => lab.start(side, ...argv);
    const peer = await startKeepalived(start, lab.directory, instance);
    return partyOf(peer, peer);
  };
  return {
    ...{ name, what, address, advertMs: intervalMs, downMs: 3 * intervalMs + skewMs, successionMs: skewMs },
    password: version === 2,
    ours,
    peer: among === 'keepalived' ? keepalived : ours,
  };
}

const ucarp: StartParty = async (lab, side, standing, password = PASSWORD) => {
  const peer = await startUcarp((...argv) => lab.start(side, ...argv), lab.directory, {
    ...{ vhid: VHID, password, source: `10.78.0.${HOST[side]}`, address: '10.78.0.100' },
    ...{ advskew: ADVSKEW[standing], moves: true, preempt: true },
  });
  return partyOf(peer, peer);
};

const FOUR = ['10.78.0.100/24'];
const SIX = ['fe80::100/64', 'fd78::100/64'];

export const KINDS: readonly Kind[] = [
  carp('ucarp', 'CARP, 1 s, among ucarp', ucarp),
  vrrp(
    ...(['keepalived-v2', 'VRRP 2 with a password, 1 s, among keepalived'] as const),
    ...([{ version: 2, intervalMs: 1000, addresses: FOUR }, 'keepalived'] as const),
  ),
  vrrp(
    ...(['keepalived-v3', 'VRRP 3, 100 ms, among keepalived'] as const),
    ...([{ version: 3, intervalMs: 100, addresses: FOUR }, 'keepalived'] as const),
  ),
  vrrp(
    ...(['keepalived-v3-ipv6', 'VRRP 3 over IPv6, 100 ms, among keepalived'] as const),
    ...([{ version: 3, intervalMs: 100, addresses: SIX }, 'keepalived'] as const),
  ),
  vrrp(
    ...(['keepalived-v3-unicast', 'VRRP 3 by unicast, 100 ms, among keepalived'] as const),
    ...([{ version: 3, intervalMs: 100, addresses: FOUR, unicast: true }, 'keepalived'] as const),
  ),
  carp('hastate-carp', 'CARP, 1 s, among ourselves', null),
  vrrp(
    ...(['hastate-v3', 'VRRP 3, 100 ms, among ourselves'] as const),
    ...([{ version: 3, intervalMs: 100, addresses: FOUR }, 'ourselves'] as const),
  ),
];
