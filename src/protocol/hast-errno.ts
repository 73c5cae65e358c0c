/** FreeBSD's errno numbers, which HAST replies carry whatever system we run on. @see errno(2) on FreeBSD */
const FREEBSD_ERRNO: Readonly<Record<string, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EAGAIN: 35,
  EOPNOTSUPP: 45,
  ECONNABORTED: 53,
  ECONNRESET: 54,
  ENOBUFS: 55,
  ENOTCONN: 57,
  ESHUTDOWN: 58,
  ETIMEDOUT: 60,
  ECONNREFUSED: 61,
  EDQUOT: 69,
  ESTALE: 70,
  ENOSYS: 78,
  EOVERFLOW: 84,
  ECANCELED: 85,
  EINTEGRITY: 97,
};
const ALIASES: Readonly<Record<string, string>> = { ENOTSUP: 'EOPNOTSUPP', EWOULDBLOCK: 'EAGAIN' };
const NAMES = new Map(Object.entries(FREEBSD_ERRNO).map(([name, number]) => [number, name]));

/** @returns the FreeBSD number of a POSIX name; EIO's for a name without one */
export function errnoToWire(name: string): number {
  return FREEBSD_ERRNO[ALIASES[name] ?? name] ?? 5;
}

/** @returns the POSIX name of a FreeBSD number; `EIO` for an unknown one */
export function errnoFromWire(number: number): string {
  return NAMES.get(number) ?? 'EIO';
}
