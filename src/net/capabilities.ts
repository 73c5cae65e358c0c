/** Which of the rights that Linux splits root into this process has. */
import { readFileSync } from 'node:fs';

const BITS = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n } as const;

export type Capability = keyof typeof BITS;

/**
 * The name when this process lacks it; null when it has it or the system does not split root.
 * @param which `ambient`: what programs that it starts get, too (root passes everything on)
 */
export function missingCapability(
  capability: Capability,
  which: 'effective' | 'ambient' = 'effective',
): Capability | null {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'latin1');
  } catch {
    return null;
  }
  const isRoot = /^Uid:\s+\d+\s+0\s/m.test(status);
  const field = which === 'ambient' && !isRoot ? 'CapAmb' : 'CapEff';
  const mask = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
  if (mask === undefined) return null;
  return (BigInt(`0x${mask}`) >> BITS[capability]) & 1n ? null : capability;
}
