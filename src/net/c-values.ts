/** Numbers and socket addresses as C keeps them. */
import { packIPv4, packIPv6 } from '../protocol/ip-address.ts';

const AF = { inet: 2, inet6: 10 } as const;

/** A C int in the machine's own byte order. */
export function cInt(value: number): Buffer {
  return Buffer.from(Int32Array.of(value).buffer);
}

/** Linux's sockaddr_in or sockaddr_in6. @param scope interface index, for link-local addresses */
export function socketAddress(address: string, scope: number): Buffer {
  if (!address.includes(':')) {
    const v4 = Buffer.alloc(16);
    v4.writeUInt16LE(AF.inet, 0);
    packIPv4(address).copy(v4, 4);
    return v4;
  }
  const v6 = Buffer.alloc(28);
  v6.writeUInt16LE(AF.inet6, 0);
  packIPv6(address).copy(v6, 8);
  v6.writeUInt32LE(scope, 24);
  return v6;
}
