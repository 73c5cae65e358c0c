/** Linux: `ip` of iproute2. */
import { z } from 'zod';

import { NetError } from '../model/errors.ts';
import type { AddressCommands } from './addresses.ts';

const Links = z.array(
  z.object({
    ifname: z.string().optional(),
    addr_info: z
      .array(z.object({ local: z.string().optional(), prefixlen: z.number().optional() }))
      .optional(),
  }),
);
/** IFNAMSIZ without its zero. */
const MAX_LABEL = 15;

export const ipCommands: AddressCommands = {
  kind: 'ip',
  add: (cidr, iface, { label, deprecated, dad }) => [
    ...['ip', 'address', 'replace', cidr, 'dev', iface],
    ...(cidr.includes(':')
      ? // Duplicate detection would keep the address silent for a second while the old owner may still have it.
        [...(dad ? [] : ['nodad']), ...(deprecated ? ['preferred_lft', '0'] : [])]
      : labelled(iface, label)),
  ],
  remove: (cidr, iface) => ['ip', 'address', 'del', cidr, 'dev', iface],
  // Without `dev`, so that a missing interface is an empty answer and no error.
  list: () => ['ip', '-json', 'address', 'show'],
  parse: (output, iface) => {
    const links = Links.safeParse(parseJson(output));
    if (!links.success) {
      throw new NetError('address-list', 'the output of `ip -json address show` is not understood', {
        cause: links.error,
      });
    }
    return links.data
      .filter((link) => link.ifname === iface)
      .flatMap((link) => link.addr_info ?? [])
      .flatMap(({ local, prefixlen }) =>
        local === undefined || prefixlen === undefined ? [] : [`${local}/${prefixlen}`],
      );
  },
};

/** Shows in `ip address` whose address it is, where the name leaves room; else null. */
export function labelOn(iface: string, label: string | null): string | null {
  const text = `${iface}:${label ?? ''}`;
  return label !== null && text.length <= MAX_LABEL ? text : null;
}

function labelled(iface: string, label: string | null): string[] {
  const text = labelOn(iface, label);
  return text === null ? [] : ['label', text];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
